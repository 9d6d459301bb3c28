"""Agents, and the roles that they play. The roles that come with Orkester are YAML in ``roles/``."""

from .agent import Agent
from .role import Role, RoleFault, Sees

__all__ = ["Agent", "Role", "RoleFault", "Sees"]
