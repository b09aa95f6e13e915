package main

import (
	"fmt"
	"os"

	"roomlog/schema"
)

type schemaCmd struct {
	AsyncAPI bool   `name:"asyncapi" required:"" help:"As an AsyncAPI 3 document."`
	Out      string `placeholder:"FILE" help:"Write to a file in place of standard output."`
}

// Run writes the document.
func (c *schemaCmd) Run(a *app) error {
	document, err := schema.AsyncAPI()
	if err != nil {
		return fmt.Errorf("cannot make the AsyncAPI document: %w", err)
	}
	if c.Out == "" {
		_, err = a.out.Write(document)
		return err
	}
	if err := os.WriteFile(c.Out, document, 0o644); err != nil {
		return fmt.Errorf("cannot write the AsyncAPI document: %w", err)
	}
	return nil
}
