package main

// The authorisation code: whole files, or of files that are mostly about something
// else the functions that decide who may do, see or hear what.
var targets = []struct{ file, funcs string }{
	{"schema/permissions.go", ""},
	{"schema/filter.go", "MatchesEvent Matches"},

	{"eventlog/lock.go", "modes"},
	{"eventlog/server.go", "options accounts readRequests operator userPassword"},

	{"projections/comments.go", "find comment createComment commentCreated shows updateComment commentUpdated deleteComment commentDeleted"},
	{"projections/conversation_facts.go", "createAgain conversationCreated update refuseUpdate conversationUpdated delete conversationDeleted"},
	{"projections/conversation_queries.go", "Conversations Conversation conversation Participates Partners"},
	{"projections/conversations.go", "hidden enter membership conversation"},
	{"projections/dirty.go", "modes"},
	{"projections/feed_query.go", "UserPosts feedItem"},
	{"projections/file.go", "modes"},
	{"projections/graph.go", "block separate isBlocked"},
	{"projections/history.go", "seqs has"},
	{"projections/keys.go", "lookup"},
	{"projections/likes.go", ""},
	{"projections/message_queries.go", "Messages cursor older newer receipts message"},
	{"projections/messages.go", "find sees send messageSent gone written edit messageEdited unsend messageDeleted later"},
	{"projections/missed.go", "Missed Retell"},
	{"projections/moderation.go", ""},
	{"projections/moderation_content.go", ""},
	{"projections/moderation_reports.go", "report resolve Reports"},
	{"projections/notification_facts.go", ""},
	{"projections/notification_items.go", "find shown"},
	{"projections/notification_mail.go", "notify"},
	{"projections/notification_queries.go", "Notifications NotesOf"},
	{"projections/posts.go", "post postCreated updatePost postUpdated deletePost postDeleted"},
	{"projections/queries.go", "Post Comments hides Profile users"},
	{"projections/receipts.go", "receipt toOthers discreet"},
	{"projections/relations.go", ""},
	{"projections/state.go", "decide"},
	{"projections/view.go", "PostExists Follows Apart Suspended Blocked"},

	{"realtime/acks.go", "Deliver"},
	{"realtime/addresses.go", ""},
	{"realtime/auth.go", ""},
	{"realtime/auth_jwks.go", "key fetch readAtMost parse verifies publicPart withoutURL"},
	{"realtime/auth_secret.go", "ReadSecretFile NewSecretFile checkSecret warnIfReadableByOthers MintToken"},
	{"realtime/commands.go", "refusal handle admit authorise carryOut ask permitted permit submit"},
	{"realtime/commands_admin.go", "history matchesHistory decided"},
	{"realtime/commands_connection.go", ""},
	{"realtime/commands_messaging.go", "messagingSignals"},
	{"realtime/commands_notifications.go", ""},
	{"realtime/followers.go", "before of"},
	{"realtime/handshakes.go", ""},
	{"realtime/heartbeat.go", "lookAt connectNow"},
	{"realtime/hub.go", "enter join evict deliver inOrder tell isFor excepts bitOf hear"},
	{"realtime/limiter.go", ""},
	{"realtime/limits.go", ""},
	{"realtime/notes.go", "notify hearsAny"},
	{"realtime/presence.go", "announce presenceOf"},
	{"realtime/resume.go", "hold notForAsking comeBack foreign missedSince nowLive mayResume"},
	{"realtime/retell.go", "again notesAgain roomOf"},
	{"realtime/rooms.go", ""},
	{"realtime/signals.go", "typing onSignal apartFrom typed"},
	{"realtime/tail.go", "followLog start stop read"},
	{"realtime/upgrade.go", ""},

	{"cmd/roomlog/control_unix.go", "listenUnix"},
	{"cmd/roomlog/datadir.go", ""},
	{"cmd/roomlog/listen.go", ""},
}

// packages are those whose tests must find mutants, each knowing only those before it.
var packages = []string{"schema", "eventlog", "projections", "realtime", "cmd/roomlog"}

// long are tests that would find little that others do not, and take their time.
const long = "TestSwarm|TestCrashLoop|PowerLoss|TestBench"
