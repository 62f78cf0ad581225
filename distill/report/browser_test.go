package report_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	screenshots = flag.String("screenshots", "", "a `folder` for pictures of the pages that tests look at")
	pageFile    = flag.String("page", "", "another `file` to look at in all ways")
)

// A browser is a headless Chromium, driven by the WebDriver protocol.
type browser struct {
	*testing.T
	session string // the address of its session
}

// startBrowser skips the test where there is no Chromium.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, err1 := exec.LookPath("chromium")
	driver, err2 := exec.LookPath("chromedriver")
	if err1 != nil || err2 != nil {
		t.Skip("chromium and chromedriver are not here: the page is NOT looked at in a browser")
	}
	cmd := exec.Command(driver, "--port=0")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	port := ""
	for lines := bufio.NewScanner(out); port == "" && lines.Scan(); {
		if m := regexp.MustCompile(`started successfully on port (\d+)`).FindStringSubmatch(lines.Text()); m != nil {
			port = m[1]
		}
	}
	b := &browser{t, "http://127.0.0.1:" + port + "/session"}
	var made struct{ SessionID string }
	b.call("", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"goog:loggingPrefs": map[string]string{"browser": "ALL", "performance": "ALL"},
		"goog:chromeOptions": map[string]any{"binary": chromium, "args": []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(),
		}},
	}}}, &made)
	b.session += "/" + made.SessionID
	b.call("/url", map[string]string{"url": "about:blank"}, nil)
	var own []any
	b.call("/se/log", map[string]string{"type": "performance"}, &own) // of the browser itself
	t.Cleanup(func() {
		if r, err := http.NewRequest(http.MethodDelete, b.session, nil); err == nil {
			if a, err := http.DefaultClient.Do(r); err == nil {
				a.Body.Close()
			}
		}
	})
	return b
}

// call sends a command, and decodes its value into result, if that is not nil.
func (b *browser) call(path string, args, result any) {
	b.Helper()
	body, err := json.Marshal(args)
	if err != nil {
		b.Fatal(err)
	}
	client := http.Client{Timeout: time.Minute}
	r, err := client.Post(b.session+path, "application/json", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s", path, answer.Value)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Value, result); err != nil {
			b.Fatalf("%s: %v: %s", path, err, answer.Value)
		}
	}
}

// devtools sends a command of the DevTools protocol.
func (b *browser) devtools(command string, params, result any) {
	b.Helper()
	b.call("/goog/cdp/execute", map[string]any{"cmd": command, "params": params}, result)
}

// open opens a file in a window of a width, dark or light.
func (b *browser) open(file string, width int, scheme string) {
	b.Helper()
	b.devtools("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.devtools("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	path, err := filepath.Abs(file)
	if err != nil {
		b.Fatal(err)
	}
	b.call("/url", map[string]string{"url": (&url.URL{Scheme: "file", Path: path}).String()}, nil)
}

// eval is what the body of a function in JavaScript returns.
func eval[T any](b *browser, script string) (v T) {
	b.Helper()
	b.call("/execute/sync", map[string]any{"script": script, "args": []any{}}, &v)
	return v
}

// click presses and releases on the first element of a selector.
func (b *browser) click(selector string) { b.drag(selector, 0.5, 0.5) }

// hover moves the pointer to a share of the width of an element.
func (b *browser) hover(selector string, at float64) { b.pointer(selector, nil, at) }

// drag presses at one share of the width of an element, and releases at another.
func (b *browser) drag(selector string, from, to float64) {
	b.pointer(selector, []string{"pointerDown", "pointerUp"}, from, to)
}

// pointer moves to shares of the width of an element, with something to do after
// each.
func (b *browser) pointer(selector string, do []string, at ...float64) {
	b.Helper()
	script, _ := json.Marshal(selector)
	box := eval[struct{ X, Y, W, H float64 }](b, fmt.Sprintf(`
		const e = document.querySelector(%s);
		e.scrollIntoView({block: 'center', behavior: 'instant'});
		const r = e.getBoundingClientRect();
		return {X: r.left, Y: r.top, W: r.width, H: r.height}`, script))
	var actions []any
	for i, share := range at {
		actions = append(actions, map[string]any{"type": "pointerMove", "duration": 30, "x": int(box.X + share*box.W), "y": int(box.Y + box.H/2)})
		if i < len(do) {
			actions = append(actions, map[string]any{"type": do[i], "button": 0})
		}
	}
	b.call("/actions", map[string]any{"actions": []any{map[string]any{
		"type": "pointer", "id": "mouse", "parameters": map[string]string{"pointerType": "mouse"}, "actions": actions,
	}}}, nil)
}

// key presses a key where the focus is.
func (b *browser) key(k string) {
	b.call("/actions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keys", "actions": []any{
		map[string]string{"type": "keyDown", "value": k}, map[string]string{"type": "keyUp", "value": k},
	}}}}, nil)
}

// quiet wants no message on the console, and no request but for the page and
// what is in it.
func (b *browser) quiet() {
	b.Helper()
	var all []struct{ Level, Message string }
	b.call("/se/log", map[string]string{"type": "browser"}, &all)
	for _, m := range all {
		b.Errorf("the console says %s: %s", m.Level, m.Message)
	}
	b.call("/se/log", map[string]string{"type": "performance"}, &all)
	for _, m := range all {
		var event struct {
			Message struct {
				Method string
				Params struct{ Request struct{ URL string } }
			}
		}
		if err := json.Unmarshal([]byte(m.Message), &event); err != nil {
			b.Fatal(err)
		}
		address := event.Message.Params.Request.URL
		if event.Message.Method == "Network.requestWillBeSent" && !strings.HasPrefix(address, "file:") && !strings.HasPrefix(address, "data:") {
			b.Errorf("the page asks for %s", address)
		}
	}
}

// shoot saves a picture of the whole page, if that is asked for.
func (b *browser) shoot(name string) {
	b.Helper()
	if *screenshots == "" {
		return
	}
	size := eval[struct{ W, H int }](b, "const e = document.documentElement; return {W: e.clientWidth, H: e.scrollHeight}")
	var picture struct{ Data string }
	b.devtools("Page.captureScreenshot", map[string]any{
		"captureBeyondViewport": true,
		"clip":                  map[string]int{"x": 0, "y": 0, "width": size.W, "height": min(size.H, 16000), "scale": 1},
	}, &picture)
	png, err := base64.StdEncoding.DecodeString(picture.Data)
	if err == nil {
		err = os.MkdirAll(*screenshots, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// fits wants the page to be no wider than its window.
func (b *browser) fits() {
	b.Helper()
	if w := eval[[2]float64](b, "return [document.documentElement.scrollWidth, innerWidth]"); w[0] > w[1] {
		b.Errorf("the page is %v wide in a window of %v", w[0], w[1])
	}
}
