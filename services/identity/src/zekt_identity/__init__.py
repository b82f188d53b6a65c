"""Zekt's token look-ups: installation tokens scoped to one repository."""
