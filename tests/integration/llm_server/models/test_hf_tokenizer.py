from pathlib import Path
from typing import Any

import pytest

from llm_server.contract import StartupFailure
from llm_server.models.chat_template import ChatTemplate
from llm_server.models.failures import StartupError
from llm_server.models.hf_tokenizer import load_tokenizer
from llm_server.models.tokenizer import ChatMessage

pytestmark = pytest.mark.torch

TALK = [
    ChatMessage("system", "  Be brief & <b>kind</b>.\n"),
    ChatMessage("user", "Was heißt „Wolke“? 你好 🙂 12345"),
    ChatMessage("assistant", "Cloud."),
    ChatMessage("user", "Thanks"),
]
TEMPLATES = {
    "chatml": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are kind<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama": (
        "{%- if not date_string is defined %}{%- set date_string = 'today' %}{%- endif %}\n"
        "{%- set ns = namespace(count=0) %}\n{{- bos_token }}\n"
        "{%- for m in messages %}\n"
        "    {%- set ns.count = ns.count + 1 %}\n"
        "    {{- '[' + m['role'] + ' ' + ns.count|string + ' ' + date_string + ']' }}\n"
        "    {{- m['content'] | trim + eos_token }}\n"
        "{%- endfor %}\n{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}"
    ),
    "json": (
        "{{ messages | tojson(indent=2) }}{{ messages[0].content | upper }}"
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
        "{{ tools is none }}{{ messages[1:] | length }}"
    ),
}


@pytest.fixture(scope="module")
def reference(tiny_directory: Path) -> Any:
    """The tokenizer as transformers itself loads it."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    return AutoTokenizer.from_pretrained(tiny_directory)


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_render_as_transformers_renders_them(name: str, reference: Any) -> None:
    """The bounded sandbox gives the same prompt as the library whose templates they are."""
    specials = {key: str(value) for key, value in reference.special_tokens_map.items()}
    expected = reference.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in TALK],
        chat_template=TEMPLATES[name],
        add_generation_prompt=True,
        tokenize=False,
    )
    assert ChatTemplate(TEMPLATES[name], specials).render(TALK) == expected


def test_prompts_are_the_tokens_of_transformers(tiny_directory: Path, reference: Any) -> None:
    """Raw prompts and conversations are encoded as the model's own tokenizer does."""
    tokenizer = load_tokenizer(tiny_directory)
    text = "The cluster 🙂 runs 12 pods.<|im_end|>\n"
    assert tokenizer.encode(text) == reference(text)["input_ids"]
    conversation = [{"role": message.role, "content": message.content} for message in TALK]
    expected = reference.apply_chat_template(conversation, add_generation_prompt=True)["input_ids"]
    assert tokenizer.apply_chat_template(TALK) == expected
    assert tokenizer.decode(expected) == reference.decode(expected, skip_special_tokens=True)


def test_a_directory_without_a_tokenizer_is_unsupported(
    tiny_directory: Path, tmp_path: Path
) -> None:
    """A model that cannot read text is refused at load."""
    (tmp_path / "config.json").write_text((tiny_directory / "config.json").read_text())
    with pytest.raises(StartupError, match="cannot be served") as refused:
        load_tokenizer(tmp_path)
    assert refused.value.reason is StartupFailure.MODEL_UNSUPPORTED
