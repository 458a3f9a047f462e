"""Codecs: one module for each kind of value."""

from stages.codecs.base import Codec, Scratch, decode, encode

__all__ = ["Codec", "Scratch", "decode", "encode"]
