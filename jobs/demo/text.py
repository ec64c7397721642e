"""Tiny but real CLIP, T5 and Gemma2 text encoders, frozen at random weights, with real tokenizers of their own.

Random encoders keep what a caption says as long as their weights are large enough for the words to mix: the scales
below were chosen so that a linear read-out of CLIP's pooled output, and of T5's tokens, tells every attribute of
a caption (`tests/jobs/demo/test_text.py` measures it). Unknown words fall apart into letters.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WIDTH = 64
CLIP_TOKENS = 20
T5_TOKENS = 16
VIDEO_TOKENS = 12
GEMMA_TOKENS = 16

# What Lumina2Pipeline puts before every prompt. The demo's tokenizer knows it as one token.
LUMINA2_SYSTEM = (
    "You are an assistant designed to generate superior images with the superior degree of image-text alignment "
    "based on textual prompts or user prompts. <Prompt Start> "
)


def build_clip_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """Byte-level BPE as CLIP's, its merges learnt from the captions."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=200, end_of_word_suffix="</w>", show_progress=False)
    trained.train_from_iterator(sorted(set(captions)), trainer)
    merges = _merges_of(trained)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    vocab = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocab[special] = len(vocab)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CLIP_TOKENS)


def _merges_of(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in merges]


def build_t5_tokenizer(captions: Iterable[str], *, length: int) -> T5TokenizerFast:
    """A unigram vocabulary as T5's: whole words of the captions, and letters for any other word."""
    words = sorted({word for caption in captions for word in caption.split()})
    letters = string.ascii_letters + string.digits + string.punctuation
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + word, -4.0) for word in words]
    pieces += [("▁", -8.0), *((letter, -12.0) for letter in letters)]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=length)


def build_gemma_tokenizer(captions: Iterable[str]) -> GemmaTokenizer:
    """Byte-fallback BPE as Gemma's: whole words of the captions, with the space before them, and bytes for others."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    # Gemma's tokenizer itself does not split at spaces; merges that were learnt within words never join two.
    trained.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    trained.train_from_iterator(sorted(set(captions)), trainers.BpeTrainer(vocab_size=400, show_progress=False))
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = [*special, *sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)]
    vocab = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = GemmaTokenizer(vocab=vocab, merges=_merges_of(trained), model_max_length=GEMMA_TOKENS)
    tokenizer.add_tokens([AddedToken(LUMINA2_SYSTEM, normalized=False)])
    start = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])])
    tokenizer.backend_tokenizer.post_processor = start
    return tokenizer


def build_clip(tokenizer: CLIPTokenizer, *, seed: int = 0) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=CLIP_TOKENS,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = CLIPTextModel(config).eval().requires_grad_(False)
    _randomize(model, seed=seed)
    return model


def build_t5(tokenizer: T5TokenizerFast, *, seed: int = 0) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=2 * WIDTH, num_layers=2, num_heads=8,
        relative_attention_num_buckets=32, feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0, is_encoder_decoder=False, use_cache=False,
    )  # fmt: skip
    model = T5EncoderModel(config).eval().requires_grad_(False)
    _randomize(model, seed=seed)
    for name, weight in model.named_parameters():
        if "relative_attention_bias" in name:
            # Heads that look at set distances make "red circle on blue" and "blue circle on red" differ.
            weight.normal_(0.0, 3.0, generator=torch.Generator().manual_seed(seed + 1))
        elif ".q." in name:
            weight.mul_(0.35)  # T5 does not divide by sqrt(d_kv)
    return model


def build_gemma(tokenizer: GemmaTokenizer, *, seed: int = 0) -> Gemma2Model:
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16, sliding_window=64,
        max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=2, use_cache=False,
    )  # fmt: skip
    model = Gemma2Model(config).eval().requires_grad_(False)
    _randomize(model, seed=seed)
    # Gemma2 multiplies embeddings by sqrt(width) and norms what each layer adds to scale 1.
    model.embed_tokens.weight.mul_(WIDTH**-0.5)
    return model


def _randomize(model: nn.Module, *, seed: int) -> None:
    """Weights large enough that every layer changes what passes through it; norms stay at one."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight.normal_(0.0, module.in_features**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, 1.0, generator=generator)
