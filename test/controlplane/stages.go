package controlplane

import (
	_ "embed" // the stages
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// PodAnnotation, in a pod template, decides how the simulated node runs its pods. Without it they become
	// ready at once, and those of Jobs succeed.
	PodAnnotation = "simulator.flexops.dev/pod"
	// AfterAnnotation is a duration such as "500ms": how long PodSlow and PodCrashLoop wait (2s without it), and
	// how long a Job's pod runs (0s without it).
	AfterAnnotation = "simulator.flexops.dev/after"
	// StartedAnnotation is the time at which a pod's containers say that they have started, where that is not the present
	// one: for what looks at pods with a clock of its own.
	StartedAnnotation = "simulator.flexops.dev/started"
	// MessageAnnotation is the termination message that a Job's pod ends with.
	MessageAnnotation = "simulator.flexops.dev/message"
)

// Values of PodAnnotation.
const (
	PodNotReady  = "not-ready"  // runs and never becomes ready
	PodSlow      = "slow"       // runs, and becomes ready later
	PodCrash     = "crash"      // never gets ready, is in CrashLoopBackOff
	PodCrashLoop = "crash-loop" // is ready for a moment, crashes, is restarted, and so on
	PodImagePull = "image-pull" // never starts, is in ImagePullBackOff
	PodFail      = "fail"       // of a Job: fails
)

//go:embed stages.yaml
var stages string

func writeStages(dir string, runJobs bool) (string, error) {
	leftAlone := "Nothing" // no owner is of this kind
	if !runJobs {
		leftAlone = "Job"
	}
	path := filepath.Join(dir, "stages.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(stages, "LEFT_ALONE", leftAlone)), 0o600); err != nil {
		return "", fmt.Errorf("write kwok's stages: %w", err)
	}
	return path, nil
}
