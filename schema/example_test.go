package schema_test

import (
	"fmt"

	"roomlog/schema"
)

func ExampleValidate() {
	like, _ := schema.Lookup("post:like")
	for _, data := range []string{
		`{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","action":"like"}`,
		`{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","action":"love"}`,
		`{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D"}`,
		`{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","action":"like","userId":"bob"}`,
	} {
		if err := schema.Validate(like, []byte(data)); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("good")
	}
	// Output:
	// good
	// INVALID_FIELD: /action: one of like, unlike
	// MISSING_FIELD: /action: required
	// UNKNOWN_FIELD: /userId: no such field; allowed: action, postId
}

func ExampleParseCommand() {
	command, err := schema.ParseCommand([]byte(`{"id":"a7","event":"socket:ping","data":{}}`))
	fmt.Println(string(command.ID), command.Event, string(command.Data), err == nil)

	// The id is found wherever it stands, so that the refusal can be tied to it.
	command, err = schema.ParseCommand([]byte(`{"event":"socket:ping","user":"bob","id":8}`))
	fmt.Println(string(command.ID), err)

	_, err = schema.ParseCommand([]byte(`{"id":9,"event":`))
	fmt.Println(err)
	// Output:
	// "a7" socket:ping {} true
	// 8 UNKNOWN_FIELD: /user: no such field; a frame has id, event, data, key
	// BAD_FRAME: the frame is no JSON object: not JSON at byte 16
}

func ExampleDecode() {
	e, _ := schema.Lookup("post:create")
	payload, err := schema.Decode(e, []byte(`{"content":"to be #hamlet"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	post := payload.(*schema.PostCreate)
	post.Hashtags = schema.Hashtags(post.Content)
	fmt.Printf("%+v\n", *post)
	// Output:
	// {Content:to be #hamlet Media:[] Hashtags:[hamlet]}
}
