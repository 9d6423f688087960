"""A transformers model of random weights as the writer: it answers nonsense, which is counted and never a crash."""

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from most.convert.backbone import train_tokenizer
from most.data.dialogue.dialogue import write_dialogues
from most.data.dialogue.interruptions.base import make_writer
from most.data.dialogue.interruptions.run import interrupt_file
from most.errors import MostError

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    def save(n_positions=4096, template=TEMPLATE):
        folder = tmp_path_factory.mktemp("chat")
        tokenizer = train_tokenizer(["yes no one two three"], vocab_size=300)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=n_positions, **sizes)
        LlamaForCausalLM(config).save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nonsense_is_rejected_and_counted(chat_model, make, tmp_path, temperature, monkeypatch):
    monkeypatch.setattr("most.data.dialogue.interruptions.llm._MAX_TOKENS", {"judge": 12, "write": 12})
    source, out = tmp_path / "d.jsonl", tmp_path / "i.jsonl"
    write_dialogues(source, [make("a"), make("b"), make("c", "Hi.", "Hello.")])
    writer = make_writer("local", model=str(chat_model()), temperature=temperature, device="cpu")
    done = interrupt_file(source, out, writer)
    assert (done.kept, done.left_out) == (0, 3)
    assert done.reasons == {"the judge said neither yes nor no": 2, "no assistant's turn of 12 words": 1}
    again = interrupt_file(source, tmp_path / "j.jsonl", writer)
    assert again.reasons == done.reasons


def test_same_seed_same_answer(chat_model):
    chat = make_writer("local", model=str(chat_model()), temperature=1.0, device="cpu").chat
    messages = [{"role": "user", "content": "one two"}]
    first = chat.reply(messages, max_tokens=12, seed=1)
    assert first == chat.reply(messages, max_tokens=12, seed=1)
    assert first != chat.reply(messages, max_tokens=12, seed=2)


def test_a_prompt_beyond_the_context_is_left_out(chat_model, make, tmp_path):
    write_dialogues(tmp_path / "d.jsonl", [make("a")])
    writer = make_writer("local", model=str(chat_model(64)), device="cpu")
    done = interrupt_file(tmp_path / "d.jsonl", tmp_path / "i.jsonl", writer)
    assert done.reasons == {"longer than the model's context": 1}


def test_models_that_cannot_chat_are_refused(chat_model, tmp_path):
    with pytest.raises(MostError, match="chat template"):
        make_writer("local", model=str(chat_model(template=None)))
    with pytest.raises(MostError, match="could not be loaded"):
        make_writer("local", model=str(tmp_path))
    with pytest.raises(MostError, match="must be a folder"):
        make_writer("local")
