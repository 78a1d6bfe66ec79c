"""Texts for the model beside its instructions: prompts to speak, and the context of a new session.

A prompt is an instruction, not a sentence: the model chooses words and language.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from callflow.agent.conversation import Conversation, Turn
from callflow.contracts.engine import ContextItem


class Prompt(Enum):
    """The prompts. `prompt` fills in each `{NAME}`."""

    GREET = "{greeting}"
    RESUME = (
        "The line was interrupted for a moment, and is back. Do not greet again. If you had not finished, go on where "
        "the caller stopped hearing you; if the caller has asked something that is not answered yet, answer it. "
        "Otherwise say briefly that you are back."
    )
    KEYS_FAILED = "The keys were not pressed: the carrier has refused them. Press them again, or find another way."
    BACK = (
        "The caller is back with you. Do not greet again. Say in one short sentence that you are there again, and ask "
        "what else you can do."
    )
    HELD = (
        "The caller was on hold, heard neither you nor anybody else, and is back with you. Do not greet again. Say in "
        "one short sentence that you are there again, and go on where you were."
    )
    UNHEARD = "The caller does not hear you from now on. Say nothing until you are told that they hear you again."
    HEARD_AGAIN = "The caller hears you again.{missed}"
    SAY = "Say exactly this to the caller, word for word, and nothing else. Call no tool: “{text}”"
    CARRY_ON = (
        "What interrupted you was only a noise. The caller has heard you up to: “{heard}”. Go on from exactly there, "
        "without repeating it and without mentioning the noise."
    )
    SAID_OVER = "Now answer what the caller said while you were speaking."
    CALLED_OFF = (
        "You were about to end this call, and the caller spoke before your goodbye was over: so the call goes on. "
        "Answer what they say. If they only said goodbye, too, say goodbye in one or two words and end the call again."
    )
    STILL_BUSY = (
        "You are still waiting for the result of a tool. Tell the caller in one short sentence that you are working on "
        "it. Promise nothing and call no tool."
    )
    NO_INPUT = (
        "The caller has said nothing for a while. Ask in one short sentence whether they are still there, "
        "or repeat your last question. This is time number {time} that you ask."
    )
    NO_INPUT_GOODBYE = (
        "The caller has not answered for a long time. Say in one short sentence that you will end the call now, and "
        "goodbye. Call no tool."
    )
    TIME_WARNING = (
        "This call has to end in {seconds} seconds. Tell the caller so in one short sentence, and ask for what is most "
        "important."
    )
    VOICEMAIL = (
        "An answering machine has answered, and records what you say. Say exactly this message, word for word, nothing "
        "before it and nothing after it, and call no tool: “{message}”"
    )


def prompt(which: Prompt, **words: object) -> str:
    """Return the text of a prompt. Raises KeyError if one of its words is missing."""
    if which is Prompt.GREET:
        return _greeting(str(words.get("disclosure") or ""), str(words.get("greeting") or ""))
    return str(which.value).format(**words)


def _greeting(disclosure: str, greeting: str) -> str:
    if not disclosure:
        return greeting
    exactly = f"Begin by saying exactly this sentence, word for word, and nothing else before it: “{disclosure}”"
    return f"{exactly}\n\nThen: {greeting}" if greeting else f"{exactly}\n\nThen stop."


def heard_again(missed: Sequence[Turn]) -> str:
    """Return the fact that the caller hears the model again. `missed`: its turns of which they have not heard all."""
    text = " ".join(turn.unheard_text for turn in missed if turn.unheard_text)
    said = f" Of what you said then, and right before, they did not hear: “{text}”" if text else ""
    return prompt(Prompt.HEARD_AGAIN, missed=said)


def typed(digits: str) -> str:
    """Return the fact that the caller has typed digits."""
    return f"The caller typed these digits on the telephone keypad: {digits}"


def typing_lost() -> str:
    """Return the fact that the caller has typed digits which nobody can read."""
    return (
        "The caller typed on the telephone keypad while the line was interrupted, and what they typed is lost. Ask "
        "them to type all of it again."
    )


def whispered(text: str) -> str:
    """Return the fact that an operator has told the model something."""
    return (
        f"A colleague who hears this call tells you, and the caller does not hear it: “{text}” Use it from your next "
        "answer on, as if you had known it; do not mention the colleague."
    )


def shown(text: str) -> str:
    """Return the fact that the model was shown a picture. `text`: what it shows; "": nobody said."""
    return f"You were shown a picture{f': “{text}”' if text else ''}. Use it from then on."


def tool_answered(tool: str, arguments: str, output: str) -> str:
    """Return the fact that a tool has answered. `arguments` and `output` are JSON."""
    return f"The tool {tool} was called with {arguments} and answered: {output}"


def tool_unknown(tool: str, arguments: str) -> str:
    """Return the fact that a tool was called and its result is not known. `arguments` is JSON."""
    return (
        f"The tool {tool} was called with {arguments}, and the line broke before it answered. Whether it was done is "
        "not known: it may have been. Do not call it again for the same purpose; tell the caller if it matters."
    )


def context_items(conversation: Conversation) -> list[ContextItem]:
    """Return the conversation as far as it was heard, as context for a new session."""
    told: list[ContextItem] = []
    for turn in conversation.turns:
        told += _memory(turn)
    if told:
        told.insert(0, ContextItem("system", "This call is already under way. What was said so far follows."))
    return told


def _memory(turn: Turn) -> Sequence[ContextItem]:
    if not turn.interrupted:
        return [ContextItem(turn.who, turn.text)] if turn.text else []
    heard = [ContextItem(turn.who, turn.heard_text)] if turn.heard_text else []
    return [*heard, not_heard(turn)] if turn.unheard_text else heard


def not_heard(turn: Turn) -> ContextItem:
    """Return a context item with the words of an interrupted turn that the caller did not hear."""
    return ContextItem("system", f"There you were interrupted. The caller did not hear: “{turn.unheard_text}”")
