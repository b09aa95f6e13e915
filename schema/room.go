package schema

import "strings"

// Rooms with one instance.
const (
	RoomAdmin  = "admin"  // moderators
	RoomPublic = "public" // every connected socket
)

// UserRoom returns the room of all of a user's sockets.
func UserRoom(userID string) string { return "user:" + userID }

// PostRoom returns the room of those who look at a post.
func PostRoom(postID string) string { return "post:" + postID }

// ConversationRoom returns the room of a conversation's connected participants.
func ConversationRoom(conversationID string) string { return "conversation:" + conversationID }

// ParseRoom splits a room name into its type and id. ok is false for a name
// that no room can have.
func ParseRoom(name string) (typ, id string, ok bool) {
	switch name {
	case RoomAdmin, RoomPublic:
		return name, "", true
	}
	typ, id, found := strings.Cut(name, ":")
	if !found {
		return "", "", false
	}
	switch typ {
	case "user":
		return typ, id, ValidUserID(id)
	case "post", "conversation":
		return typ, id, ValidID(id)
	}
	return "", "", false
}

// ValidID reports whether id is a ULID in its canonical form: 26 characters of
// Crockford's base 32, upper case, the first at most 7 (the ULID specification).
func ValidID(id string) bool {
	if len(id) != 26 || id[0] > '7' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case '0' <= c && c <= '9':
		case 'A' <= c && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U':
		default:
			return false
		}
	}
	return true
}
