"""Networks of the learned methods: torch modules that know tensors, neither files nor config."""
