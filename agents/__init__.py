"""Agents: a role on a model. Roles are YAML in ``roles/``; routing policies and tools have rooms of their own."""

from .agent import Agent
from .role import Role, RoleFault, Sees

__all__ = ["Agent", "Role", "RoleFault", "Sees"]
