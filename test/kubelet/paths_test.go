package kubelet

import "testing"

func TestTranslator(t *testing.T) {
	paths := newTranslator([]place{
		{container: "/work", local: "/tmp/work/1"},
		{container: "/work/new/", local: "/tmp/new/2"},
		{container: "/tmp", local: "/tmp/tmp/3"},
		{container: "/dev/termination-log", local: "/tmp/log/4"},
		{container: "/manager", local: "/bin/true", shared: true},
		{container: "/", local: "/nowhere"},
	})
	for text, want := range map[string]string{
		"/work":                              "/tmp/work/1",
		"/work/":                             "/tmp/work/1/",
		"/work/a":                            "/tmp/work/1/a",
		"/work/new/a":                        "/tmp/new/2/a",
		"/work/newer":                        "/tmp/work/1/newer",
		"/workspace":                         "/workspace",
		"/home/work":                         "/home/work",
		"./work":                             "./work",
		"https://work/work":                  "https://work/work",
		"--from=/work/a,/tmp/b":              "--from=/tmp/work/1/a,/tmp/tmp/3/b",
		"cat </work/a >/dev/termination-log": "cat </tmp/work/1/a >/tmp/log/4",
		"/manager renew":                     "/bin/true renew",
		"":                                   "",
		"/":                                  "/",
	} {
		if got := paths.toLocal(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got, want := paths.toContainer("open /tmp/new/2/a with /bin/true"), "open /work/new/a with /bin/true"; got != want {
		t.Errorf("the way back gives %q, want %q", got, want)
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"$(A)$(B)": "1$(A)", "$$(A)": "$(A)", "$(C) $A $": "$(C) $A $", "$(A": "$(A", "": "", "x$(A)y": "x1y",
	} {
		if got := expand(text, values); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
