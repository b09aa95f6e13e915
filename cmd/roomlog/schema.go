package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"

	"roomlog/schema"
)

type schemaCmd struct {
	AsyncAPI    bool   `name:"asyncapi" required:"" xor:"form" help:"As an AsyncAPI 3 document."`
	Protocol    string `required:"" xor:"form" placeholder:"FILE" help:"Within this description of the protocol: its generated parts are made anew."`
	Permissions bool   `required:"" xor:"form" help:"Who may send what, as a table."`
	Out         string `placeholder:"FILE" help:"Write to a file in place of standard output, or of the file itself."`
}

// Run writes the document.
func (c *schemaCmd) Run(a *app) error {
	if c.Protocol != "" {
		return c.describe()
	}
	if c.Permissions {
		var table bytes.Buffer
		if err := schema.WritePermissions(&table); err != nil {
			return fmt.Errorf("cannot make the table of permissions: %w", err)
		}
		return c.hand(a, table.Bytes(), "the table of permissions")
	}
	document, err := schema.AsyncAPI()
	if err != nil {
		return fmt.Errorf("cannot make the AsyncAPI document: %w", err)
	}
	return c.hand(a, document, "the AsyncAPI document")
}

// hand writes to where it was asked for.
func (c *schemaCmd) hand(a *app, document []byte, what string) error {
	if c.Out == "" {
		_, err := a.out.Write(document)
		return err
	}
	return write(c.Out, document, what)
}

// describe makes the generated parts of a description of the protocol anew.
func (c *schemaCmd) describe() error {
	document, err := os.ReadFile(c.Protocol)
	if err != nil {
		return fmt.Errorf("cannot read the description: %w", err)
	}
	if document, err = schema.Reference(document); err != nil {
		return fmt.Errorf("cannot make %s anew: %w", c.Protocol, err)
	}
	return write(cmp.Or(c.Out, c.Protocol), document, "the description")
}

func write(path string, document []byte, what string) error {
	if err := os.WriteFile(path, document, 0o644); err != nil {
		return fmt.Errorf("cannot write %s: %w", what, err)
	}
	return nil
}
