"""trl: supervised fine-tuning of a language model."""

import first_step  # noqa: F401
from datasets import Dataset
from tiny_text import sentences, tiny_model, tiny_tokenizer
from trl import SFTConfig, SFTTrainer


def main():
    tokenizer = tiny_tokenizer()
    trainer = SFTTrainer(
        model=tiny_model(tokenizer),
        args=SFTConfig(
            output_dir="out",
            per_device_train_batch_size=4,
            num_train_epochs=1,
            max_length=16,
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            report_to=[],
        ),
        train_dataset=Dataset.from_dict({"text": sentences(96)}),
        processing_class=tokenizer,
    )
    trainer.train()


if __name__ == "__main__":
    main()
