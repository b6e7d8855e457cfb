"""The run directory: what is in it, and who may write it; neither Ray nor torch is needed to read one."""
