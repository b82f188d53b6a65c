"""What goes wrong on order."""

from dataclasses import dataclass

from zekt_sandbox.servicebus.errors import InvalidControlError, server_busy


@dataclass
class Faults:
    """The switches: None for a count means until it is cleared.

    `lost_answers`: so many sends are stored, and their connection is cut in place of the answer.
    `refused_sends`: so many sends are refused as a busy server does.
    `delay_s`: everything that arrives is acted on so much later, in order.
    `max_connections`: whoever comes while so many are open is refused, as by the official emulator; 0 limits nothing.
    """

    lost_answers: int | None = 0
    refused_sends: int | None = 0
    delay_s: float = 0.0
    max_connections: int = 0

    def lose_answers(self, count: int | None = 1) -> None:
        """Store the next sends and cut their connections instead of answering.

        Raises:
            InvalidControlError: a count below zero.
        """
        self.lost_answers = _checked(count)

    def refuse_sends(self, count: int | None = 1) -> None:
        """Refuse the next sends as a busy server does.

        Raises:
            InvalidControlError: a count below zero.
        """
        self.refused_sends = _checked(count)

    def slow_down(self, delay_s: float) -> None:
        """Act on all that arrives so much later.

        Raises:
            InvalidControlError: a delay below zero.
        """
        if delay_s < 0:
            raise InvalidControlError("a delay is not negative")
        self.delay_s = delay_s

    def limit_connections(self, count: int) -> None:
        """Refuse whoever connects while so many are open; with 0 nobody. Those that are open stay.

        Raises:
            InvalidControlError: a count below zero.
        """
        self.max_connections = _checked(count) or 0

    def clear(self) -> None:
        """Switch all off."""
        self.lost_answers, self.refused_sends, self.delay_s, self.max_connections = 0, 0, 0.0, 0

    def check_send(self) -> None:
        """Let a send pass.

        Raises:
            AmqpError: it is one of those to refuse.
        """
        if self.refused_sends == 0:
            return
        if self.refused_sends is not None:
            self.refused_sends -= 1
        raise server_busy()

    def loses_answer(self) -> bool:
        """Whether the send that was just stored is one of those whose answer is lost."""
        if self.lost_answers == 0:
            return False
        if self.lost_answers is not None:
            self.lost_answers -= 1
        return True


def _checked(count: int | None) -> int | None:
    if count is not None and count < 0:
        raise InvalidControlError("a count is zero or more")
    return count
