"""A language model and its tokenizer, small and made in code: nothing is downloaded."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "slept", "while", "some", "other", "dog", "ran", "past"]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Splits at spaces, and knows WORDS."""
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", "<eos>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>")


def tiny_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of one layer, with random weights."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, **sizes)
    return LlamaForCausalLM(config)


def sentences(length: int) -> list[str]:
    """Sentences of four of the WORDS."""
    return [" ".join(WORDS[(number + place) % len(WORDS)] for place in range(4)) for number in range(length)]
