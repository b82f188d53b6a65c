"""What can be asked of topics, subscriptions and rules."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from zekt_sandbox.servicebus.administration import descriptions
from zekt_sandbox.servicebus.administration.atom import AdministrationError, description_of, entry
from zekt_sandbox.servicebus.namespace import Namespace
from zekt_sandbox.servicebus.subscription import Subscription
from zekt_sandbox.servicebus.topic import Topic


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a namespace."""

    namespace: Namespace

    def entries(self) -> dict[str, ET.Element]:
        """Describe each, by name in lower case."""
        return {key: self._entry(topic) for key, topic in self.namespace.topics.items()}

    def put(self, name: str, body: bytes, *, update: bool) -> None:
        """Create a topic, or change one.

        Raises:
            AdministrationError: 400, duplicate detection cannot be changed, or a value is wrong.
        """
        properties = descriptions.topic_properties(description_of(body, "TopicDescription"))
        if not update:
            self.namespace.add_topic(name, properties)
            return
        topic = self.namespace.topic(name)
        if (topic.properties.duplicate_window_s is None) != (properties.duplicate_window_s is None):
            raise AdministrationError(
                400, "The value for the RequiresDuplicateDetection property of an existing Topic cannot be changed."
            )
        topic.properties = properties

    def delete(self, name: str) -> None:
        """Remove a topic and all in it."""
        del self.namespace.topics[name.lower()]

    def _entry(self, topic: Topic) -> ET.Element:
        return entry(topic.name, descriptions.describe_topic(topic.properties))


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The subscriptions of a topic."""

    topic: Topic

    def entries(self) -> dict[str, ET.Element]:
        """Describe each, by name in lower case."""
        return {key: self._entry(subscription) for key, subscription in self.topic.subscriptions.items()}

    def put(self, name: str, body: bytes, *, update: bool) -> None:
        """Create a subscription with the rule that takes everything, or change one.

        Raises:
            AdministrationError: 400, a value is wrong.
        """
        properties = descriptions.queue_properties(description_of(body, "SubscriptionDescription"))
        if update:
            self.topic.subscriptions[name.lower()].configure(properties)
        else:
            self.topic.subscribe(name, properties)

    def delete(self, name: str) -> None:
        """Remove a subscription and all in it."""
        del self.topic.subscriptions[name.lower()]

    def _entry(self, subscription: Subscription) -> ET.Element:
        counts = subscription.counts(scheduled=0)
        return entry(subscription.name, descriptions.describe_subscription(subscription.properties, counts))


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a subscription."""

    subscription: Subscription

    def entries(self) -> dict[str, ET.Element]:
        """Describe each, by name in lower case."""
        rules = self.subscription.rules
        return {name.lower(): entry(name, descriptions.describe_rule(name, rules[name])) for name in rules}

    def put(self, name: str, body: bytes, *, update: bool) -> None:  # noqa: ARG002 - a rule is replaced whole
        """Create a rule, or change one.

        Raises:
            AdministrationError: 400, the filter is not stood in for.
        """
        self.subscription.rules[name] = descriptions.rule_filter(description_of(body, "RuleDescription"))

    def delete(self, name: str) -> None:
        """Remove a rule."""
        self.subscription.rules = {
            each: by for each, by in self.subscription.rules.items() if each.lower() != name.lower()
        }


Collection = Topics | Subscriptions | Rules
