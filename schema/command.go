package schema

// ParseCommand reads a frame from a client, strictly: one JSON object of at most
// MaxDepth levels with the fields of Command and no others. With the error it
// returns whatever id the frame had, so that the error can be tied to it; without
// an id, or when the code is BAD_FRAME, it cannot be. What is returned points into b.
func ParseCommand(b []byte) (Command, *Error) { return Command{}, nil }
