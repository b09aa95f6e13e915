package client_test

import (
	"context"
	"encoding/json"
	"fmt"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// A chat program in a few lines: it says something, and hears what others say,
// whatever becomes of the connection meanwhile.
func ExampleOpen() {
	server, err := startServer() // elsewhere: roomlog serve
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.stop()
	ctx := context.Background()

	heard := make(chan string, 1)
	bob, err := client.Open(ctx, server.URL, client.SessionOptions{
		Token: func(context.Context) (string, error) { return tokenFor("bob"), nil },
		OnPush: func(f schema.Frame) {
			var said schema.MessageSent
			if f.Event == "message:send" && json.Unmarshal(f.Data, &said) == nil {
				heard <- said.Message.Sender.ID + ": " + said.Message.Content
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bob.Close()
	alice, err := client.Open(ctx, server.URL, client.SessionOptions{
		Token: func(context.Context) (string, error) { return tokenFor("alice"), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer alice.Close()

	ack, err := alice.Do(ctx, "conversation:create", schema.ConversationCreate{Type: schema.ConversationDirect, Participants: []string{"bob"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var created schema.ConversationCreated
	if err := json.Unmarshal(ack.Data, &created); err != nil {
		fmt.Println(err)
		return
	}
	_, err = alice.Do(ctx, "message:send", schema.MessageSend{ConversationID: created.Conversation.ID, Content: "Who's there?", MessageType: schema.MessageText})
	fmt.Println(err)
	fmt.Println(<-heard)

	// Output:
	// <nil>
	// alice: Who's there?
}

// What a person sees of a session that loses its connection.
func ExampleSessionOptions() {
	server, err := startServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.stop()

	session, err := client.Open(context.Background(), server.URL, client.SessionOptions{
		Token: func(context.Context) (string, error) { return tokenFor("alice"), nil },
		OnState: func(st client.State) {
			switch st.Status {
			case client.Lost:
				fmt.Println("trying again in", st.Wait, "because of", st.Err)
			case client.CaughtUp:
				fmt.Println("back, with", st.Count, "missed pushes")
			default:
				fmt.Println(st.Status)
			}
		},
		OnResync: func(schema.Resync) { fmt.Println("reading everything again") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session.Close()

	// Output:
	// connected
	// ended
}
