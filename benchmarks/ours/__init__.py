"""Opsgate itself, measured from outside through the whole embedded stack."""
