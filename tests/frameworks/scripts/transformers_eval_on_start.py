"""transformers: the Trainer evaluates before its first step."""

import first_step  # noqa: F401
from datasets import Dataset
from tiny_text import sentences, tiny_model, tiny_tokenizer
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments


def main():
    tokenizer = tiny_tokenizer()

    def dataset(length):
        texts = Dataset.from_dict({"text": sentences(length)})
        return texts.map(lambda row: tokenizer(row["text"]), remove_columns="text")

    arguments = TrainingArguments(
        output_dir="out",
        per_device_train_batch_size=4,
        per_device_eval_batch_size=8,
        num_train_epochs=1,
        eval_strategy="steps",
        eval_on_start=True,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
    )
    trainer = Trainer(
        model=tiny_model(tokenizer),
        args=arguments,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        train_dataset=dataset(96),
        eval_dataset=dataset(40),
    )
    trainer.train()


if __name__ == "__main__":
    main()
