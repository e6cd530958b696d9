package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is the release, which make release sets with -ldflags "-X main.version=v1.2.3". Without it, the module's
// version counts, as go install sets it.
var version string

// build is what the command version prints.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // it was built from files that were not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func versionCommand(f *targetFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program, and how it was built",
		Long: "Prints the version of this program, its commit, and Go's version and platform. It calls nothing.\n\n" +
			"Exit code 0.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := thisBuild()
			if f.json {
				return printJSON(cmd.OutOrStdout(), b)
			}
			text := "warmflags " + b.Version
			if b.Commit != "" {
				text += " (" + b.Commit
				if b.Modified {
					text += ", modified"
				}
				text += ")"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", text, b.Go, b.Platform)
			return err
		},
	}
}
