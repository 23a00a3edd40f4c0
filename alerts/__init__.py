"""Incidents (pure decision), routing, channels."""
