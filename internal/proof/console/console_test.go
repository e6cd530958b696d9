package console

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNormalize(t *testing.T) {
	for text, want := range map[string]string{
		"synced 12s ago, 1m2s late, in 1.5ms":                                     "synced DURATION ago, DURATION late, in DURATION",
		"at 2026-11-28T22:06:09.156Z, 2026-11-28 22:06:09":                        "at TIME, TIME",
		"warmflags-FlagTable-498E971627008":                                       "warmflags-FlagTable-ID",
		"http://985e27d8.execute-api.127.0.0.1:42975/x":                           "http://ID.execute-api.HOST/x",
		"f1f0e01d-3d4b-434a-98ea-09973779a217":                                    "UUID",
		`"probe-teeyd6ir" of prefix "warmflags-probe", written once, was removed`: "PROBE, was removed",
		"KIND      KEY   \nfeatures  f":                                           "KIND KEY\nfeatures f",
		"flag-3 is at version 12, 3 differ, exit code 3":                          "flag-3 is at version 12, 3 differ, exit code 3",
	} {
		assert.Equal(t, want, Normalize(text))
	}
}

func TestSteps(t *testing.T) {
	page := "# Title\n\n```console\n$ one \\\n  more\nits\noutput\n$ two\n```\n\n$ no command\n<!-- test: flip f -->\n\n```go\n$ no command\n```\n"
	assert.Equal(t, []Step{
		{Command: "one \\\n  more", Output: "its\noutput\n"}, {Command: "two"}, {Directive: "flip f"},
	}, Steps(page))
}

func TestFill(t *testing.T) {
	page := "```console\n$ one \\\n  more\nits\noutput\n$ two\n```\n<!-- test: flip f -->\n```console\n$ three\nold\n```\n"
	filled := Fill(page, []string{"1\n", "2\n", "", "3\n"})
	assert.Equal(
		t,
		"```console\n$ one \\\n  more\n1\n$ two\n2\n```\n<!-- test: flip f -->\n```console\n$ three\n3\n```\n",
		filled,
	)
	steps := Steps(filled)
	assert.Equal(t, filled, Fill(filled, []string{steps[0].Output, steps[1].Output, "", steps[3].Output}))
}
