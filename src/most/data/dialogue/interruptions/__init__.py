"""Interruptions written into dialogues: the seam, the writers behind it, the check on every writer's work.

Paper, stage 2: the assistant stops mid-sentence, answers the user briefly, and resumes.
"""
