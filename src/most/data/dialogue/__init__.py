"""Stage-2 dialogues: chats become speakable text with natural interruptions (here), then speech (`voice/`).

Paper, stage 2. What passes from one half to the other is `dialogue.Dialogue` as JSON lines.
"""
