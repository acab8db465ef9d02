"""Recipes: each file is a config for training one family of networks."""
