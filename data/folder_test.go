package data_test

import (
	"bytes"
	"image"
	"image/color"
	"image/color/palette"
	"image/jpeg"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/godistill/godistill/data"
)

// paint fills an image with colours that differ from pixel to pixel. Each third
// pixel is transparent where there is such a thing.
func paint[I interface {
	image.Image
	Set(x, y int, c color.Color)
}](img I, seed int) I {
	r := img.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := color.NRGBA64{uint16(x*9173 + seed), uint16(y * 7919), uint16(x*y*433 + seed*3), 0xffff}
			if (x+y)%3 == 0 {
				c.A = 0
			}
			img.Set(x, y, c)
		}
	}
	return img
}

// photo is an image without sharp edges, which JPEG would change.
func photo(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{uint8(40 + 100*x/w), uint8(200 - 90*y/h), uint8(60 + 50*(x+y)/(w+h)), 255})
		}
	}
	return img
}

func pngOf(img image.Image) []byte {
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func jpegOf(img image.Image) []byte {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 100}); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// again is what JPEG makes of an image.
func again(img image.Image) image.Image { return must(jpeg.Decode(bytes.NewReader(jpegOf(img)))) }

// tree is a file system in memory.
func tree(files map[string][]byte) fstest.MapFS {
	m := fstest.MapFS{}
	for name, raw := range files {
		m[name] = &fstest.MapFile{Data: raw}
	}
	return m
}

func TestImageFolder(t *testing.T) {
	small := func(seed int) []byte { return pngOf(paint(image.NewRGBA(image.Rect(0, 0, 5, 3)), seed)) }
	files := map[string][]byte{
		"dog/b.png":        small(1),
		"dog/a.JPG":        jpegOf(photo(5, 3)),
		"cat/x.jpeg":       small(2), // a PNG, whatever it is called
		"cat/deep/y.png":   small(3),
		"bird/z.png":       small(4),
		"cat/notes.txt":    []byte("no image"),
		"cat/.hidden.png":  []byte("no image"),
		"cat/.git/a.png":   []byte("no image"),
		".cache/a.png":     []byte("no image"),
		"readme.png":       []byte("no image, for it has no class"),
		"dog/c.png.backup": []byte("no image"),
	}
	set := must(data.ImageFolder{}.Open(tree(files)))
	spec := set.Spec()
	if !slices.Equal(spec.Classes, []string{"bird", "cat", "dog"}) || !slices.Equal(spec.In["x"].Shape, []int{3, 3, 5}) || spec.Views != 1 {
		t.Errorf("spec is %+v", spec)
	}
	var labels []int
	for i := range set.Len() {
		labels = append(labels, read(t, set, i, 0).Label.Ints()...)
	}
	if want := []int{0, 1, 1, 2, 2}; !slices.Equal(labels, want) {
		t.Errorf("labels are %v; want %v", labels, want)
	}
	for i, name := range []string{"bird/z.png", "cat/deep/y.png", "cat/x.jpeg", "dog/a.JPG", "dog/b.png"} {
		one := must(data.ImageFolder{}.Open(tree(map[string][]byte{name: files[name]})))
		if one.ID(0) != set.ID(i) {
			t.Errorf("%s has another id when it is alone", name)
		}
		if !slices.Equal(pixels(t, one, 0, 0), pixels(t, set, i, 0)) {
			t.Errorf("sample %d is not %s", i, name)
		}
	}
}

// Two folders with the same names in them have ids of their own, once they have
// names.
func TestImageFolderNames(t *testing.T) {
	files := tree(map[string][]byte{"a/b.png": pngOf(photo(5, 3)), "c/d.png": pngOf(photo(5, 3))})
	open := func(name string) data.Set { return must(data.ImageFolder{Name: name}.Open(files)) }
	if _, err := data.Concat(open("train"), open("valid")); err != nil {
		t.Error(err)
	}
	_, err := data.Concat(open(""), open(""))
	wantError(t, err, "sets 0 and 1 both have id")
}

// In a folder of the disk, classes may be links.
func TestImageFolderOnDisk(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, dir, "cat/1.png", pngOf(photo(5, 3)))
	write(t, other, "1.png", pngOf(photo(5, 3)))
	if err := os.Symlink(other, filepath.Join(dir, "dog")); err != nil {
		t.Skip(err)
	}
	set := must(data.ImageFolder{}.Open(os.DirFS(dir)))
	if got := set.Spec().Classes; set.Len() != 2 || !slices.Equal(got, []string{"cat", "dog"}) {
		t.Errorf("%d samples of %q", set.Len(), got)
	}
	read(t, set, 1, 0)
}

// Whatever its kind, an image is what its pixels are.
func TestImageFolderDecodes(t *testing.T) {
	r := image.Rect(0, 0, 7, 4)
	for name, test := range map[string]struct {
		img  image.Image
		raw  func(image.Image) []byte
		room float64
	}{
		"rgba":         {paint(image.NewRGBA(r), 1), pngOf, 0},
		"nrgba":        {paint(image.NewNRGBA(r), 2), pngOf, 0},
		"nrgba, 16":    {paint(image.NewNRGBA64(r), 3), pngOf, 0},
		"rgba, 16":     {paint(image.NewRGBA64(r), 4), pngOf, 0},
		"grey":         {paint(image.NewGray(r), 5), pngOf, 0},
		"grey, 16":     {paint(image.NewGray16(r), 6), pngOf, 0},
		"palette":      {paint(image.NewPaletted(r, palette.Plan9), 7), pngOf, 0},
		"photo":        {again(photo(7, 4)), jpegOf, 0.02}, // compressed twice
		"grey photo":   {again(paint(image.NewGray(r), 0)), jpegOf, 0.02},
		"photo as png": {photo(7, 4), pngOf, 0},
	} {
		for _, grey := range []bool{false, true} {
			set := must(data.ImageFolder{Grey: grey}.Open(tree(map[string][]byte{"a/b.png": test.raw(test.img)})))
			got := pixels(t, set, 0, 0)
			for i, v := range got {
				p := test.img.At(i%7, i/7%4)
				r, g, b, _ := p.RGBA()
				want := float64([]uint32{r, g, b}[i/28]) / 65535
				if grey {
					want = (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(b)) / 65535
				}
				// The luma is rounded to 16 bits.
				if room := test.room + 2e-5; math.Abs(float64(v)-want) > room || !grey && test.room == 0 && v != float32(want) {
					t.Errorf("%s, grey %v: element %d is %v; want %v", name, grey, i, v, want)
					break
				}
			}
		}
	}
}

func TestImageFolderFits(t *testing.T) {
	// Left third black, middle white, right third black, 12 by 4.
	img := image.NewGray(image.Rect(0, 0, 12, 4))
	for i := range img.Pix {
		if x := i % 12; x >= 4 && x < 8 {
			img.Pix[i] = 255
		}
	}
	open := func(f data.ImageFolder) (data.Set, error) {
		return f.Open(tree(map[string][]byte{"a/b.png": pngOf(img)}))
	}
	for name, test := range map[string]struct {
		folder data.ImageFolder
		want   []float32
	}{
		"a part, as large":   {data.ImageFolder{Height: 4, Width: 4, Fit: data.Cover}, slices.Repeat([]float32{1}, 16)},
		"a part, larger":     {data.ImageFolder{Height: 5, Width: 5, Fit: data.Cover}, slices.Repeat([]float32{1}, 25)},
		"a part, smaller":    {data.ImageFolder{Height: 3, Width: 3, Fit: data.Cover}, slices.Repeat([]float32{1}, 9)},
		"all, as it is":      {data.ImageFolder{Height: 4, Width: 12, Fit: data.Stretch}, slices.Repeat([]float32{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}, 4)},
		"a tall part of all": {data.ImageFolder{Height: 4, Width: 1, Fit: data.Cover}, []float32{1, 1, 1, 1}},
	} {
		test.folder.Grey = true
		if got := pixels(t, must(open(test.folder)), 0, 0); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v; want %v", name, got, test.want)
		}
	}
	// A third of the pixels of each row, so the mean stays, and the order.
	got := pixels(t, must(open(data.ImageFolder{Height: 3, Width: 3, Grey: true, Fit: data.Stretch})), 0, 0)
	for row := range slices.Chunk(got, 3) {
		if row[1] < 0.7 || row[0] > 0.2 || math.Abs(float64(row[0]-row[2])) > 1e-4 {
			t.Errorf("stretched: %v", got)
		}
	}
	_, err := drain(data.Loader{Set: must(open(data.ImageFolder{Height: 3, Width: 5})), Batch: 1}, 0, 0)
	wantError(t, err, "a/b.png: is 4 high and 12 wide; want 3 and 5, or an ImageFolder.Fit that changes it")
}

// What Pillow 9.4.0 makes of an image, in bytes:
//
//	import numpy as np
//	from PIL import Image
//	y, x, c = np.mgrid[0:7, 0:9, 0:3]
//	im = Image.fromarray(((37*x + 59*y + 83*c + 7*x*y) % 256).astype(np.uint8))
//	down = np.asarray(im.resize((4, 3), Image.BILINEAR)).transpose(2, 0, 1)
//	up = np.asarray(im.resize((11, 8), Image.BILINEAR)).transpose(2, 0, 1)[1]
//	grey = np.asarray(im.convert("L"))
var (
	pillowDown = []float64{
		86, 135, 127, 101, 151, 124, 126, 122, 110, 143, 144, 136,
		158, 131, 117, 142, 112, 123, 134, 128, 111, 107, 140, 119,
		129, 113, 132, 126, 119, 110, 126, 130, 103, 145, 136, 111,
	}
	pillowUp = []float64{
		83, 110, 140, 170, 201, 231, 52, 36, 66, 96, 123,
		131, 162, 197, 156, 59, 94, 89, 116, 151, 185, 216,
		183, 218, 162, 93, 82, 122, 162, 201, 162, 106, 141,
		90, 130, 114, 108, 153, 198, 125, 144, 138, 122, 162,
		30, 74, 124, 134, 112, 162, 94, 118, 117, 106, 150,
		81, 130, 141, 97, 39, 94, 149, 153, 99, 58, 107,
		133, 151, 85, 50, 110, 170, 191, 110, 95, 142, 160,
		181, 52, 47, 112, 176, 241, 96, 114, 179, 174, 45,
	}
	pillowGrey = []float64{
		68, 105, 142, 149, 186, 73, 110, 71, 108,
		127, 141, 185, 79, 123, 91, 135, 149, 193,
		156, 207, 108, 83, 134, 155, 206, 107, 82,
		65, 123, 105, 133, 191, 99, 81, 139, 167,
		124, 113, 148, 63, 128, 117, 152, 67, 132,
		107, 149, 71, 143, 139, 181, 103, 99, 141,
		136, 65, 68, 147, 196, 125, 128, 177, 106,
	}
)

// Images are resized and greyed as Pillow does it, but for its rounding to
// bytes, which it does after each axis.
func TestImageFolderIsPillow(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 9, 7))
	for i := range img.Pix {
		x, y, c := i/4%9, i/36, i%4
		if img.Pix[i] = uint8(37*x + 59*y + 83*c + 7*x*y); c == 3 {
			img.Pix[i] = 255
		}
	}
	open := func(f data.ImageFolder) []float32 {
		return pixels(t, must(f.Open(tree(map[string][]byte{"a/b.png": pngOf(img)}))), 0, 0)
	}
	for name, test := range map[string]struct {
		got  []float32
		want []float64
		room float64 // in bytes
	}{
		"down": {open(data.ImageFolder{Height: 3, Width: 4, Fit: data.Stretch}), pillowDown, 1.01},
		"up":   {open(data.ImageFolder{Height: 8, Width: 11, Fit: data.Stretch})[88:176], pillowUp, 1.01},
		"grey": {open(data.ImageFolder{Grey: true}), pillowGrey, 0.51},
	} {
		if len(test.got) != len(test.want) {
			t.Fatalf("%s: %d pixels; want %d", name, len(test.got), len(test.want))
		}
		for i, v := range test.got {
			if math.Abs(255*float64(v)-test.want[i]) > test.room {
				t.Errorf("%s: pixel %d is %v; want %v", name, i, 255*v, test.want[i])
			}
		}
	}
}

// claim writes a PNG that says it has another size, and has little else.
func claim(w, h uint32) []byte {
	raw := pngOf(image.NewGray(image.Rect(0, 0, 3, 3)))
	head := raw[16:24]
	for i := range 4 {
		head[i], head[4+i] = byte(w>>(24-8*i)), byte(h>>(24-8*i))
	}
	sum := crc(raw[12:29])
	for i := range 4 {
		raw[29+i] = byte(sum >> (24 - 8*i))
	}
	return raw
}

func crc(raw []byte) uint32 {
	sum := ^uint32(0)
	for _, b := range raw {
		sum ^= uint32(b)
		for range 8 {
			sum = sum>>1 ^ 0xedb88320&-(sum&1)
		}
	}
	return ^sum
}

// What is wrong with one file names it, when it is read.
func TestImageFolderRefusesFiles(t *testing.T) {
	good := pngOf(photo(5, 3))
	damaged := slices.Clone(good)
	damaged[len(damaged)-20]++
	for name, test := range map[string]struct {
		raw  []byte
		fit  data.Fit
		want string
	}{
		"empty":         {nil, 0, "is neither PNG nor JPEG"},
		"text":          {[]byte("GIF89a"), 0, "is neither PNG nor JPEG"},
		"half a head":   {good[:20], 0, "unexpected EOF"},
		"half":          {good[:len(good)-20], 0, "unexpected EOF"},
		"damaged":       {damaged, 0, "checksum"},
		"half a photo":  {jpegOf(photo(5, 3))[:300], 0, "unexpected EOF"},
		"another size":  {pngOf(photo(3, 5)), 0, "is 5 high and 3 wide; want 3 and 5"},
		"a bomb":        {claim(20000, 20000), data.Cover, "claims 20000 by 20000 pixels; want at most 32768 on a side, and ImageFolder.MaxPixels, 67108864, in all"},
		"a long bomb":   {claim(32769, 1), data.Stretch, "claims 32769 by 1 pixels"},
		"an exact bomb": {claim(20000, 20000), 0, "claims 20000 by 20000 pixels"},
	} {
		set := must(data.ImageFolder{Height: 3, Width: 5, Fit: test.fit}.Open(tree(map[string][]byte{"cat/a.png": good, "dog/b.png": test.raw})))
		batches, err := drain(data.Loader{Set: set, Batch: 1, InOrder: true}, 0, 0)
		wantError(t, err, "data: row 1, sample ")
		wantError(t, err, ": dog/b.png: ")
		wantError(t, err, test.want)
		if len(batches) != 1 {
			t.Errorf("%s: %d batches before the error; want 1", name, len(batches))
		}
	}
	set := must(data.ImageFolder{MaxPixels: 15}.Open(tree(map[string][]byte{"a/b.png": good})))
	read(t, set, 0, 0)
	_, err := data.ImageFolder{MaxPixels: 14}.Open(tree(map[string][]byte{"a/b.png": good}))
	wantError(t, err, "data: ImageFolder: a/b.png: claims 5 by 3 pixels")
	gone := tree(map[string][]byte{"a/b.png": good})
	set = must(data.ImageFolder{}.Open(gone))
	delete(gone, "a/b.png")
	_, err = drain(data.Loader{Set: set, Batch: 1}, 0, 0)
	wantError(t, err, "a/b.png: open a/b.png: file does not exist")
	b := must(data.NewBatch(set.Spec(), 3))
	wantError(t, b.Append(set, 0, 1), "view 1 of a set with one view")
	wantError(t, set.Read(1, 0, data.Sample{Batch: &b}), "row 1 of a set of 1")
}

func TestImageFolderRefuses(t *testing.T) {
	good := tree(map[string][]byte{"a/b.png": pngOf(photo(5, 3))})
	for _, test := range []struct {
		folder data.ImageFolder
		root   fs.FS
		want   string
	}{
		{data.ImageFolder{}, nil, "data: ImageFolder: the fs.FS is nil"},
		{data.ImageFolder{Height: -1, Width: 3}, good, "data: ImageFolder.Height and Width are -1 and 3; want both 1 or more, or 0 and 0"},
		{data.ImageFolder{Height: 3}, good, "are 3 and 0"},
		{data.ImageFolder{Height: 1 << 16, Width: 3}, good, "want 32768 at most"},
		{data.ImageFolder{Fit: 3}, good, "data: ImageFolder.Fit is 3; want Exact, Stretch or Cover"},
		{data.ImageFolder{MaxPixels: -1}, good, "data: ImageFolder.MaxPixels is -1"},
		{data.ImageFolder{}, tree(map[string][]byte{"a.png": nil}), "there are no folders; want one for each class"},
		{data.ImageFolder{}, tree(map[string][]byte{"a/b.txt": nil, "c/d.png": nil}), `class "a" has no images`},
		{data.ImageFolder{}, tree(map[string][]byte{"a/b.png": []byte("no")}), "data: ImageFolder: a/b.png: is neither PNG nor JPEG"},
		{data.ImageFolder{}, os.DirFS(filepath.Join(t.TempDir(), "none")), "no such file"},
	} {
		_, err := test.folder.Open(test.root)
		wantError(t, err, test.want)
	}
}

// The fingerprint is that of all that the samples depend on.
func TestImageFolderFingerprint(t *testing.T) {
	files := func() map[string][]byte {
		return map[string][]byte{"a/b.png": pngOf(photo(5, 3)), "c/d.png": pngOf(photo(5, 3))}
	}
	seen := map[[32]byte]string{}
	add := func(name string, f data.ImageFolder, change func(map[string][]byte)) {
		all := files()
		change(all)
		print := must(f.Open(tree(all))).Spec().Fingerprint
		if other, ok := seen[print]; ok {
			t.Errorf("%s and %s share a fingerprint", name, other)
		}
		seen[print] = name
	}
	same := func(map[string][]byte) {}
	add("plain", data.ImageFolder{}, same)
	add("named", data.ImageFolder{Name: "train"}, same)
	add("grey", data.ImageFolder{Grey: true}, same)
	add("size", data.ImageFolder{Height: 5, Width: 3, Fit: data.Stretch}, same)
	add("cover", data.ImageFolder{Height: 5, Width: 3, Fit: data.Cover}, same)
	add("more", data.ImageFolder{}, func(m map[string][]byte) { m["a/x.png"] = m["a/b.png"] })
	add("moved", data.ImageFolder{}, func(m map[string][]byte) { m["c/b.png"] = m["a/b.png"]; m["a/d.png"] = m["c/d.png"] })
	add("longer", data.ImageFolder{}, func(m map[string][]byte) { m["a/b.png"] = append(m["a/b.png"], 0) })
	if must(data.ImageFolder{}.Open(tree(files()))).Spec().Fingerprint != must(data.ImageFolder{Height: 3, Width: 5, MaxPixels: 99}.Open(tree(files()))).Spec().Fingerprint {
		t.Error("one set of images has two fingerprints")
	}
}

// All processors decode, under whatever decorations, and change nothing.
func TestImageFolderInALoader(t *testing.T) {
	defer goleak.VerifyNone(t)
	files := map[string][]byte{}
	for i := range 23 {
		raw := pngOf(paint(image.NewNRGBA(image.Rect(0, 0, 7+i, 9)), i))
		if i%2 == 1 {
			raw = jpegOf(photo(6, 5+i))
		}
		files[string(rune('a'+i%4))+"/"+strings.Repeat("i", i+1)+".png"] = raw
	}
	set := must(data.ImageFolder{Height: 5, Width: 7, Fit: data.Cover}.Open(tree(files)))
	moved := must(data.Shift{Pixels: 2}.Of(must(data.Normalize(set, must(data.FitNorm(set))))))
	l := data.Loader{Set: must(data.Concat(moved)), Batch: 6, Seed: 3}
	l.Workers = 1
	want := must(drain(l, 1, 0))
	l.Workers = 0
	old := runtime.GOMAXPROCS(4)
	defer runtime.GOMAXPROCS(old)
	if diff := cmp.Diff(want, must(drain(l, 1, 0)), denses); diff != "" {
		t.Error(diff)
	}
	class, _ := dealt(data.Loader{Set: moved, Batch: 6, Draw: must(data.Balance(moved))}, 0)
	if diff := cmp.Diff(map[int]int{0: 6, 1: 6, 2: 6, 3: 6}, class); diff != "" {
		t.Error(diff)
	}
}

// Labels are known without a look at the images.
func TestBalanceDecodesNothing(t *testing.T) {
	set := must(data.ImageFolder{Height: 3, Width: 5}.Open(tree(map[string][]byte{"a/b.png": nil, "c/d.png": nil, "c/e.png": nil})))
	if b := must(data.Balance(set)); b.Len() != 4 {
		t.Errorf("Len is %d; want 4", b.Len())
	}
}

func FuzzImageFolder(f *testing.F) {
	for _, raw := range [][]byte{
		nil, claim(20000, 20000), claim(3, 5), pngOf(photo(5, 3)), jpegOf(photo(5, 3)),
		pngOf(paint(image.NewNRGBA64(image.Rect(0, 0, 7, 4)), 1)),
		pngOf(paint(image.NewPaletted(image.Rect(0, 0, 7, 4), palette.WebSafe), 1)),
	} {
		f.Add(raw, uint8(0), false)
		f.Add(raw, uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, fit uint8, grey bool) {
		folder := data.ImageFolder{Height: 3, Width: 5, Fit: data.Fit(fit % 3), Grey: grey, MaxPixels: 1 << 14}
		set := must(folder.Open(tree(map[string][]byte{"a/b.png": raw})))
		for _, b := range []data.Batch{must(data.NewBatch(set.Spec(), 1)), must(data.NewBatch(set.Spec(), 1))} {
			err := b.Append(set, 0, 0)
			if err != nil {
				if !strings.Contains(err.Error(), "a/b.png: ") {
					t.Fatal(err)
				}
				continue
			}
			for _, v := range b.In["x"].Float32s() {
				if v < 0 || v > 1 {
					t.Fatalf("a pixel is %v", v)
				}
			}
		}
	})
}
