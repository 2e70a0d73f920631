"""Starts the real stack and runs the live scenarios against it."""
