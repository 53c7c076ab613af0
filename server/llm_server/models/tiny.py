"""A random Llama of a few hundred kilobytes with a real tokenizer, made from this file alone.

For tests and for trying the product where nobody reads the answers. The same bytes on every
machine: weights come from a seeded generator, the tokenizer is trained on the text below.
"""

from pathlib import Path
from typing import Any, Final

_PAD, _BEGIN, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SEED: Final = 20
VOCABULARY_SIZE: Final = 512
CONTEXT_TOKENS: Final = 2048
WEIGHT_DEVIATION: Final = 0.2
SPECIAL_TOKENS: Final = (_PAD, _BEGIN, _END)
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TRAINING_TEXT: Final = """
A cluster is a set of machines that run containers. A pod holds one or more containers and is
placed on a node by the scheduler. A deployment keeps a number of pods running, and a service
gives them one address. When a pod fails, another takes its place.
A language model reads tokens and gives a probability to each token that may follow. The server
takes the most probable one, or draws one, adds it to the text and asks the model again, until
the model ends its answer or the limit is reached. A token is a word or a part of a word.
The operator watches resources and brings the cluster to the state that they describe. It makes
a new revision for each change, waits until its pods are ready, moves the service to them and
then removes the old ones. If the new revision fails, the old one goes on answering.
The quick brown fox jumps over the lazy dog. How many answers are in one hundred questions?
Numbers: 0 1 2 3 4 5 6 7 8 9 10 20 50 100 1000. Signs: . , ; : ! ? ( ) [ ] { } + - * / = < > " '
Über den Wolken, à la carte, señor, øre, žluťoučký kůň, Привет мир, 你好世界, こんにちは, 🙂🚀
"""


def write(directory: Path) -> None:
    """Write config, weights, tokenizer, chat template and generation config to ``directory``."""
    from transformers import GenerationConfig  # noqa: PLC0415

    model = _model()
    model.generation_config = GenerationConfig(
        bos_token_id=SPECIAL_TOKENS.index(_BEGIN),
        eos_token_id=SPECIAL_TOKENS.index(_END),
        pad_token_id=SPECIAL_TOKENS.index(_PAD),
    )
    model.save_pretrained(directory)
    _tokenizer().save_pretrained(directory)


def _model() -> Any:
    import torch  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=SPECIAL_TOKENS.index(_BEGIN),
        eos_token_id=SPECIAL_TOKENS.index(_END),
        pad_token_id=SPECIAL_TOKENS.index(_PAD),
    )
    model: Any = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(SEED)
    for name, weight in sorted(model.named_parameters()):
        if "norm" not in name:
            torch.nn.init.normal_(weight, std=WEIGHT_DEVIATION, generator=generator)
    return model.to(torch.float32)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TRAINING_TEXT], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_BEGIN,
        eos_token=_END,
        pad_token=_PAD,
        model_max_length=CONTEXT_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )
