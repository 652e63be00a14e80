"""Make a tiny chat model that real servers load: seconds, no download, about 0.6 million parameters.

    python tests/real/tiny_model.py FOLDER [--train STEPS] [--gguf]

FOLDER gets a Qwen2 configuration, a byte-level BPE learnt from the standard library's own
manual pages, a chat template and random weights, which answer every prompt with noise up to its token limit.
``--train`` teaches it for a few hundred steps: then it writes words, ends its answers, and
closes the JSON that a grammar makes it open. ``--gguf`` writes FOLDER/model.gguf beside the rest.

Needs numpy, tokenizers and safetensors; torch and transformers to train; gguf for GGUF.
`servers.py` runs this with the environments it builds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc_data import topics

END = "<|im_end|>"
SPECIAL = ("<|endoftext|>", "<|im_start|>", END)
VOCABULARY = 4096
HIDDEN = 64
LAYERS = 2
HEADS = 2  #: of 32 each: the smallest size that vLLM's attention on a CPU knows
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    # Random weights tied to the embedding would repeat the prompt's last token, a newline, for ever.
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "bos_token_id": SPECIAL.index("<|endoftext|>"),
    "eos_token_id": SPECIAL.index(END),
    "pad_token_id": SPECIAL.index("<|endoftext|>"),
}


def dialogues(rng: random.Random) -> Iterator[str]:
    """Endless chats in the model's own template: a manual's paragraph, or a small JSON object."""
    names = sorted(topics.topics)
    words = sorted({word for name in names for word in name.lower().split("-")})
    while True:
        if rng.random() < 0.5:
            name = rng.choice(names)
            paragraphs = [text for text in topics.topics[name].split("\n\n") if len(text) > 40]
            question = f"Tell me about {name}."
            answer = " ".join(rng.choice(paragraphs).split())[:240]
        else:
            values = (rng.choice(words), rng.randrange(100), rng.random() < 0.5, [rng.choice(words)])
            keys = rng.sample(words, rng.randrange(1, 5))
            question = f"Reply with JSON: {', '.join(keys)}."
            answer = json.dumps({key: rng.choice(values) for key in keys}, ensure_ascii=False)
        yield f"<|im_start|>user\n{question}{END}\n<|im_start|>assistant\n{answer}{END}\n"


def create(folder: Path, *, seed: int = 0) -> None:
    """Write configuration, tokenizer and random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", CONFIG)
    _write_json(
        folder / "generation_config.json",
        {key: CONFIG[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    _write_tokenizer(folder, rng=random.Random(seed))
    _write_weights(folder / "model.safetensors", seed=seed)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_tokenizer(folder: Path, *, rng: random.Random) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    chats = dialogues(rng)
    tokenizer.train_from_iterator([*topics.topics.values(), *(next(chats) for _ in range(2000))], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": SPECIAL[0],
            "eos_token": END,
            "pad_token": SPECIAL[0],
            "model_max_length": CONFIG["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def _write_weights(path: Path, *, seed: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)

    def matrix(*shape: int):
        return rng.normal(0.0, 0.05, shape).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
        "lm_head.weight": matrix(VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}{norm}.weight"] = np.ones(HIDDEN, np.float32)
        for part in "qkv":
            weights[f"{prefix}self_attn.{part}_proj.weight"] = matrix(HIDDEN, HIDDEN)
            weights[f"{prefix}self_attn.{part}_proj.bias"] = np.zeros(HIDDEN, np.float32)
        weights[f"{prefix}self_attn.o_proj.weight"] = matrix(HIDDEN, HIDDEN)
        weights[f"{prefix}mlp.gate_proj.weight"] = matrix(2 * HIDDEN, HIDDEN)
        weights[f"{prefix}mlp.up_proj.weight"] = matrix(2 * HIDDEN, HIDDEN)
        weights[f"{prefix}mlp.down_proj.weight"] = matrix(HIDDEN, 2 * HIDDEN)
    save_file(weights, str(path), metadata={"format": "pt"})


def train(folder: Path, *, steps: int, seed: int = 0) -> None:
    """Teach the model in *folder* for *steps* batches of 16 x 160 tokens and save it there."""
    import torch
    from transformers import AutoTokenizer, Qwen2ForCausalLM

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    chats = dialogues(random.Random(seed + 1))
    for step in range(steps):
        ids = [tokenizer(next(chats), truncation=True, max_length=160)["input_ids"] for _ in range(16)]
        longest = max(map(len, ids))
        pad = tokenizer.pad_token_id
        batch = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
        loss = model(input_ids=batch, labels=batch.masked_fill(batch == pad, -100)).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            sys.stdout.write(f"step {step}: loss {loss.item():.2f}\n")
    model.save_pretrained(folder)


def write_gguf(folder: Path) -> None:
    """Write folder/model.gguf, which llama.cpp reads (its own converter refuses unknown tokenizers)."""
    import gguf
    from safetensors.numpy import load_file

    writer = gguf.GGUFWriter(folder / "model.gguf", "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)

    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["merges"]])
    writer.add_bos_token_id(CONFIG["bos_token_id"])
    writer.add_eos_token_id(CONFIG["eos_token_id"])
    writer.add_pad_token_id(CONFIG["pad_token_id"])
    writer.add_add_bos_token(False)  # noqa: FBT003 - gguf takes it by position
    writer.add_chat_template(CHAT_TEMPLATE)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, LAYERS)
    for name, value in sorted(load_file(folder / "model.safetensors").items()):
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=0, metavar="STEPS", help="teach it (300: a minute)")
    parser.add_argument("--gguf", action="store_true", help="only write FOLDER/model.gguf")
    arguments = parser.parse_args()
    if arguments.gguf:
        write_gguf(arguments.folder)
        return
    create(arguments.folder)
    if arguments.train:
        train(arguments.folder, steps=arguments.train)


if __name__ == "__main__":
    main()
