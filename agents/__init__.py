"""Agents and their roles."""

from .agent import Agent, Role

__all__ = ["Agent", "Role"]
