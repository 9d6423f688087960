"""`/v1/realtime`: a talk over one WebSocket, with turns found by the server and answers that can be broken into."""
