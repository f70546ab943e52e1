package main

import "fmt"

// findings are what is not as it should be.
type findings []error

func (f *findings) expect(ok bool, format string, arguments ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf(format, arguments...))
	}
}
