package schema

// AsyncAPI returns the AsyncAPI 3.0 document of the catalogue.
func AsyncAPI() ([]byte, error) { return nil, nil }
