package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// publish prints the table, and writes it, the rows and the picture.
func publish(log io.Writer, o Options, rows []row) error {
	text := table(rows)
	fmt.Fprintf(log, "\n%s\n", text)
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Out, "versus.md"), []byte(text), 0o666); err != nil {
		return err
	}
	if o.JSON != "" {
		b, err := json.MarshalIndent(rows, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.JSON, append(b, '\n'), 0o666); err != nil {
			return err
		}
	}
	compared := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return math.IsNaN(float64(r.Ratio)) })
	if len(compared) == 0 {
		fmt.Fprintln(log, "no picture: nothing was compared")
		return nil
	}
	picture := filepath.Join(o.Out, "versus.png")
	fmt.Fprintln(log, "wrote", picture)
	return paint(picture, compared)
}

// table is the rows in Markdown.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| case | ours, ms | PyTorch, ms (threads) | PyTorch / ours (min–max) | of FMA peak | weights read, GB/s (plain read) | allocations | memory, MB: ours | PyTorch |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.Case, r.Ours.text(), r.peer(), r.ratio(), r.percent(), r.bandwidth(), r.Allocs.text(), r.OursMB.text(), r.PeerMB.text())
	}
	return b.String()
}

func (r row) peer() string {
	if r.Threads == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%d)", r.Peer.text(), r.Threads)
}

func (r row) ratio() string {
	if r.Threads == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", r.Ratio, r.Low, r.High)
}

func (r row) percent() string {
	if math.IsNaN(float64(r.Peak)) {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100*r.Peak)
}

func (r row) bandwidth() string {
	if math.IsNaN(float64(r.Read)) {
		return ""
	}
	return fmt.Sprintf("%s (%s)", r.Read.text(), r.Plain.text())
}
