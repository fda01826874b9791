"""Localization methods: one file each, found by file name or by entry point ``wavloc.methods``."""
