"""The demo: a catalogue, a simulated world of shoppers, and `backdrop demo` that runs the whole system on them."""

__all__: list[str] = []
