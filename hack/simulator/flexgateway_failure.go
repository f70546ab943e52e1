package simulator

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// failure is what a gateway simulates.
type failure struct {
	crash, neverReady bool
	after             time.Duration // until the crash
}

var errCrash = errors.New("the gateway crashes, as it was told to simulate")

func parseFailure(text string) (failure, error) {
	switch text {
	case "":
		return failure{}, nil
	case "crash":
		return failure{crash: true}, nil
	case "never-ready":
		return failure{neverReady: true}, nil
	}
	if text, ok := strings.CutPrefix(text, "crash-after="); ok {
		if after, err := time.ParseDuration(text); err == nil && after > 0 {
			return failure{crash: true, after: after}, nil
		}
	}
	return failure{}, fmt.Errorf("cannot simulate %q: it is crash, crash-after= a time as in crash-after=20s, or never-ready", text)
}
