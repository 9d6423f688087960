"""What the rule-based writer says: interruptions with answers, and the words that lead back to the thread.

Every answer is true whatever the turn is about: it repeats what was said, or promises what then happens.
"""

from __future__ import annotations

KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "clarify": (
        ("Sorry, did you say {your}?", "Yes, {np}."),
        ("Wait, {your}?", "Yes, {np}."),
        ("Hang on, you mean {your}?", "Yes, I mean {np}."),
        ("Hold on, {your}, is that what you said?", "Yes, that's what I said, {np}."),
        ("Sorry, what was that about {your}?", "I was just getting to {np}."),
        ("Can I stop you there? You said {your}, right?", "Right, {np}."),
        ("Sorry, I misheard you. What about {your}?", "No worries, I was talking about {np}."),
        ("No, wait, I was thinking of something else. {Your}, you said?", "Yes, {np}."),
        ("Wait, I think I lost you at {your}.", "No problem, let me start again from there."),
    ),
    "pause": (
        ("Okay, hold on a second.", "Sure, take your time."),
        ("Mm-hm, one moment, please.", "Of course. Ready when you are."),
        ("Wait, wait, just a second.", "No problem, I'll wait."),
        ("Uh-huh, hang on, somebody is at the door.", "Sure, go ahead. I'm here when you're back."),
        ("Right, okay, give me a moment.", "Of course, no rush."),
        ("Oh, sorry, my phone is ringing.", "Go ahead, I can wait."),
        ("Hold that thought.", "Sure, tell me when."),
        ("Just a moment, I need to write this down.", "Of course, take the time you need."),
        ("Sorry, can you wait a second?", "Sure, no hurry."),
        ("Hang on, I have to close the window.", "Go ahead, I'll wait."),
    ),
    "repeat": (
        ("Could you say that again? You cut out.", "Sure, I'll say it again."),
        ("Sorry, I didn't catch that last bit.", "No problem, I'll repeat it."),
        ("Sorry, it's loud here. Say that again?", "Sure, once more."),
        ("I missed the last few words.", "Then I'll go back a little."),
        ("Hang on, a truck just went by. What was that?", "I'll start that sentence over."),
        ("Sorry, the line broke up for a second.", "No problem, here it is again."),
        ("What did you say? I was distracted.", "That's all right, I'll say it again."),
        ("Sorry, come again?", "Of course."),
        ("Wait, go back a bit, please.", "Sure, back a bit."),
        ("Sorry, someone was talking to me. Go on.", "Let me take that from where you lost me."),
    ),
    "react": (
        ("Oh, interesting, go on.", "Thanks, I will."),
        ("Wait, really?", "Yes, really."),
        ("Oh wow, okay.", "Let me finish the thought."),
        ("Ha, I was just thinking about that.", "Then we had the same thought."),
        ("Oh, I've been wondering about that!", "I thought you might be."),
        ("Oh! Sorry, keep going.", "No need to be sorry."),
        ("Are you sure about that?", "Pretty sure, yes."),
        ("Sorry to cut in, but is that what you think or what people say?", "It's what I would say."),
        ("Oh, I see where this is going.", "Let's see if you're right."),
        ("Is this going to be a long story?", "No, I'm almost done."),
        ("Please don't give too much away.", "Don't worry, I won't."),
        ("Can you make it quick?", "Yes, I'm nearly there."),
    ),
}  # fmt: skip
"""What the user says, the assistant's brief answer; {np} is what was just named, {your} as the other would say it."""
BRIDGES = (
    "As I was saying,", "Anyway,", "So,", "Right, so,", "Well, as I said,", "Where was I? Oh yes,",
    "To finish my thought,", "Okay, so,", "Going back to it,", "Picking up where I stopped,", "Now, where were we?",
    "All right, then.", "What I wanted to say is,", "Like I said,", "Back to what I was saying.", "To go on,",
    "Well, then,", "Okay.", "Where did I stop? Right,", "",
)  # fmt: skip
