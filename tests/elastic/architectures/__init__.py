"""Compact models of many kinds, written as their authors would write them."""
