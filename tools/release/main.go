// Command release builds what a release consists of: an archive of both commands for each platform, the functions'
// packages and the agent's layer for Lambda, and their checksums. The same commit, version and Go release give the same
// bytes on any machine. Run it in the checkout's root: make release.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

var (
	commands  = []string{"warmflags", "warmflags-agent"}
	functions = map[string]string{ // resource in template.yaml by package
		"webhook": "WebhookFunction", "flagsync": "FlagsyncFunction",
		"streamhandler": "StreamhandlerFunction", "streamfailure": "StreamFailureFunction",
	}
)

func main() {
	version := flag.String("version", "dev", "what the commands call themselves")
	platforms := flag.String("platforms", "", `operating systems and processors, such as "linux/amd64 darwin/arm64"`)
	out := flag.String("o", "dist", "the folder to make")
	flag.Parse()
	if err := build(*version, strings.Fields(*platforms), *out); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func build(version string, platforms []string, out string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	for _, platform := range platforms {
		system, processor, _ := strings.Cut(platform, "/")
		name := fmt.Sprintf("warmflags_%s_%s_%s", version, system, processor)
		dir := filepath.Join(work, name) + string(filepath.Separator)
		for _, command := range commands {
			err := run([]string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=" + processor},
				"go", "build", "-trimpath", "-buildvcs=false",
				"-ldflags=-s -w -X main.version="+version, "-o", dir, "./cmd/"+command)
			if err != nil {
				return err
			}
		}
		if err := pack(filepath.Join(out, name+".zip"), dir); err != nil {
			return err
		}
	}
	for _, processor := range []string{"amd64", "arm64"} {
		for function, resource := range functions {
			dir := filepath.Join(work, function+processor)
			if err := sam(resource, dir, "GOARCH="+processor, "VERSION="+version); err != nil {
				return err
			}
			archive := fmt.Sprintf("%s_%s_lambda_%s.zip", function, version, processor)
			if err := pack(filepath.Join(out, archive), dir); err != nil {
				return err
			}
		}
	}
	layer := filepath.Join(work, "layer")
	if err := sam("AgentLayerVersion", layer, "VERSION="+version); err != nil {
		return err
	}
	if err := pack(filepath.Join(out, fmt.Sprintf("warmflags-agent-layer_%s.zip", version)), layer); err != nil {
		return err
	}
	return checksums(out)
}

// sam builds a resource as sam build does.
func sam(resource, dir string, variables ...string) error {
	args := append([]string{"-s", "-f", "sam/Makefile", "build-" + resource, "ARTIFACTS_DIR=" + dir}, variables...)
	return run([]string{"GOFLAGS=-buildvcs=false"}, "make", args...)
}

func run(env []string, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// pack writes the folder's files into an archive, in the order of their names, without times.
func pack(archive, dir string) error {
	var content bytes.Buffer
	w := zip.NewWriter(&content)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: filepath.ToSlash(name), Method: zip.Deflate}
		header.SetMode(0o755) // every file is a program
		file, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = file.Write(data)
		return err
	})
	if err != nil {
		return fmt.Errorf("pack %q: %w", archive, err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return err
	}
	return os.WriteFile(archive, content.Bytes(), 0o644)
}

// checksums writes SHA256SUMS, which sha256sum --check reads.
func checksums(dir string) error {
	archives, err := filepath.Glob(filepath.Join(dir, "*.zip"))
	if err != nil {
		return err
	}
	slices.Sort(archives)
	var lines strings.Builder
	for _, archive := range archives {
		data, err := os.ReadFile(archive)
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(data), filepath.Base(archive))
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(lines.String()), 0o644)
}
