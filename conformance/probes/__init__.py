"""Probes: what frames cannot say. A module is an area; a probe one async function of a screen at most."""
