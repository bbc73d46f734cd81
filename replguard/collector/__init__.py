"""The privileged half: sees the host, binds what happened to who did it, and tells the analyser."""
