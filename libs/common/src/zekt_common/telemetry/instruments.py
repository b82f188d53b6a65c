"""What the metrics are made of: one comparison a call until a meter provider is installed, and little after that.

Values are recorded on the event loop's thread; an exporter looks at them from its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.metrics import Histogram as SdkHistogram

Attribute = str | int
Attributes = Mapping[str, Attribute]
Reading = tuple[float, Attributes]


class Counter:
    """A sum that only grows. It adds up by itself, at a tenth of the price of OpenTelemetry's own counter."""

    def __init__(self, name: str, unit: str, *attributes: str) -> None:
        self.name, self.unit, self.attributes = name, unit, attributes
        self._sums: dict[tuple[Attribute, ...], int] | None = None

    def add(self, amount: int = 1, /, **attributes: Attribute) -> None:
        """Add to the sum for these attributes, which are those that the counter was made with."""
        if (sums := self._sums) is not None:
            key = tuple([attributes[name] for name in self.attributes])
            sums[key] = sums.get(key, 0) + amount

    def install(self, meter: Meter | None) -> None:
        """Count from now on, and report to this meter; None reports nothing."""
        self._sums = None if meter is None else {}
        if meter is not None:
            meter.create_observable_counter(self.name, callbacks=[self._observe], unit=self.unit)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        sums = dict(self._sums or {})
        return [Observation(value, dict(zip(self.attributes, key, strict=True))) for key, value in sums.items()]


class Histogram:
    """A distribution of measured values over buckets that fit what is measured."""

    def __init__(self, name: str, unit: str, *attributes: str, buckets: Sequence[float]) -> None:
        self.name, self.unit, self.attributes, self.buckets = name, unit, attributes, buckets
        self._instrument: SdkHistogram | None = None

    def record(self, value: float, /, **attributes: Attribute) -> None:
        """Add one value, which is not negative, for the attributes that the histogram was made with."""
        if self._instrument is not None:
            self._instrument.record(value, attributes)

    def install(self, meter: Meter | None) -> None:
        """Report to this meter from now on; None reports nothing."""
        self._instrument = (
            None
            if meter is None
            else meter.create_histogram(self.name, unit=self.unit, explicit_bucket_boundaries_advisory=self.buckets)
        )


class Gauge:
    """Values that are looked at when metrics are collected, from any number of watched sources."""

    def __init__(self, name: str, unit: str, *attributes: str) -> None:
        self.name, self.unit, self.attributes = name, unit, attributes
        self._sources: dict[object, Callable[[], Iterable[Reading]]] = {}

    def watch(self, read: Callable[[], float | None], **attributes: Attribute) -> Callable[[], None]:
        """Report what `read` returns (None: nothing) until the returned function is called.

        `read` is called from the exporter's thread and must only look.
        """

        def readings() -> Iterable[Reading]:
            value = read()
            return () if value is None else ((value, attributes),)

        return self.watch_each(readings)

    def watch_each(self, read: Callable[[], Iterable[Reading]]) -> Callable[[], None]:
        """Report every reading, with attributes of its own, until the returned function is called; see `watch`."""
        source = object()
        self._sources[source] = read
        return lambda: self._sources.pop(source, None) and None

    def install(self, meter: Meter | None) -> None:
        """Report to this meter from now on; None reports nothing."""
        if meter is not None:
            meter.create_observable_gauge(self.name, callbacks=[self._observe], unit=self.unit)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        readings = [reading for read in list(self._sources.values()) for reading in read()]
        return [Observation(value, dict(attributes)) for value, attributes in readings]


Instrument = Counter | Histogram | Gauge
