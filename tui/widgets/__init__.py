"""Widgets that know nothing of DAME: they draw lines and rows they are given."""
