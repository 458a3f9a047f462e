select person, generation from session_ends
