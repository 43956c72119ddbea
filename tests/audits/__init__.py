"""The parts of the invariant checker; its face is `tests.invariants`."""
