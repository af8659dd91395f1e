"""What an image set is, for each kind of source, and what is refused."""

from pathlib import Path

import pytest

from vitc.errors import UserError
from vitc.models import demo_images
from vitc.models.data import (
    DEMO_CALIB_SEED,
    DEMO_IMAGES,
    DEMO_SEED,
    Classes,
    Image,
    ImageSet,
    at_most,
    check_disjoint,
    find,
    is_labelled,
    split,
    take,
)

TWO = Classes(2)
PETS = Classes(3, ("ant", "bee", "cat"))
DEMO = Classes(len(demo_images.CLASSES), demo_images.CLASSES)


def put(folder: Path, *names: str) -> None:
    """Files that pass for images until they are decoded, each of its own content."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def listing(folder: Path, text: str) -> str:
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    return str(folder)


def named(folder: Path, contents: dict[str, str]) -> ImageSet:
    """A set of files with the given contents."""
    for name, content in contents.items():
        (folder / name).write_text(content)
    return ImageSet(str(folder), tuple(Image(name, folder / name, None) for name in contents))


def labels(images: ImageSet) -> dict[str, int | None]:
    return {image.name: image.label for image in images.images}


def test_the_demo_says_how_many_and_its_classes_take_turns() -> None:
    assert len(find("demo", DEMO, labelled=True)) == DEMO_IMAGES
    few = find("demo:14", DEMO, labelled=True)
    assert [image.label for image in few.images] == [demo_images.label(index) for index in range(14)]
    assert few.images[13].name == f"demo/{DEMO_SEED}/13"


def test_the_demos_calibration_is_of_another_seed() -> None:
    scored = find("demo:50", DEMO, labelled=True)
    calibration = find("demo:50", DEMO, labelled=False, demo_seed=DEMO_CALIB_SEED)
    check_disjoint(scored, calibration)
    assert {image.label for image in calibration.images} == {None}


@pytest.mark.parametrize("source", ["demo:", "demo:0", "demo:-3", "demo:many", "demo:²"])
def test_a_demo_of_no_size_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="demo:N"):
        find(source, DEMO, labelled=True)


def test_the_demo_is_refused_for_a_model_of_other_classes() -> None:
    with pytest.raises(UserError, match=f"has {len(demo_images.CLASSES)} classes and the model answers 2"):
        find("demo", TWO, labelled=True)


def test_folders_are_classes_in_sorted_order(tmp_path: Path) -> None:
    put(tmp_path, "zebra/1.JPG", "zebra/deep/2.png", "yak/1.webp", "yak/notes.txt", ".git/x.png", "yak/._1.webp")
    assert labels(find(str(tmp_path), TWO, labelled=True)) == {"yak/1.webp": 0, "zebra/1.JPG": 1, "zebra/deep/2.png": 1}


def test_folders_with_the_models_names_may_be_a_subset(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "bee/1.png")
    assert labels(find(str(tmp_path), PETS, labelled=True)) == {"bee/1.png": 1, "cat/1.png": 2}


def test_a_name_that_two_classes_have_does_not_choose_one(tmp_path: Path) -> None:
    put(tmp_path, "crane/1.png")
    with pytest.raises(UserError, match="has 1 classes and the model answers 2"):
        find(str(tmp_path), Classes(2, ("crane", "crane")), labelled=True)


def test_another_number_of_folders_than_classes_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "c/1.png")
    with pytest.raises(UserError, match="has 3 classes and the model answers 2"):
        find(str(tmp_path), TWO, labelled=True)


def test_a_plain_folder_serves_where_no_labels_are_needed(tmp_path: Path) -> None:
    put(tmp_path, "b.png", "deep/er/a.jpeg", "notes.txt")
    assert labels(find(str(tmp_path), TWO, labelled=False)) == {"b.png": None, "deep/er/a.jpeg": None}


def test_a_plain_folder_has_no_labels(tmp_path: Path) -> None:
    put(tmp_path, "b.png")
    with pytest.raises(UserError, match="holds no labels"):
        find(str(tmp_path), TWO, labelled=True)


@pytest.mark.parametrize("labelled", [True, False])
def test_an_empty_class_folder_is_no_set(tmp_path: Path, *, labelled: bool) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="no images in"):
        find(str(tmp_path), TWO, labelled=labelled)


def test_a_source_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        find(str(tmp_path / "nowhere"), TWO, labelled=True)


def test_a_manifest_labels_by_index_or_by_name(tmp_path: Path) -> None:
    source = listing(tmp_path, "\ufeffpath, label\na.png, 2\ndeep/b.png, ant\n")
    images = find(source, PETS, labelled=True)
    assert labels(images) == {"a.png": 2, "deep/b.png": 0}
    assert images.images[1].path == tmp_path / "deep/b.png"


def test_a_manifest_needs_no_labels_where_none_are_used(tmp_path: Path) -> None:
    assert labels(find(listing(tmp_path, "path\na.png\n"), TWO, labelled=False)) == {"a.png": None}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path,label\na.png,0\nb.png,3\n", "line 3: label 3 is out of range, the model answers 0 to 2"),
        ("path,label\na.png,-1\n", "line 2: label -1 is out of range"),
        ("path,label\na.png,dog\n", "line 2: label 'dog' is not a class name or index"),
        ("path,label\na.png\n", "line 2: label '' is not"),
        ("path,label\n,1\n", "line 2: the path is empty"),
        ("file,label\na.png,1\n", "has the columns file,label: it needs path,label"),
        ("path\na.png\n", "has the columns path: it needs path,label"),
        ("", "has the columns none"),
        ("path,label\n", "no images in"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as refusal:
        find(listing(tmp_path, text), PETS, labelled=True)
    assert "\n" not in str(refusal.value)


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"path,label\n\xff\xfe.png,0\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        find(str(tmp_path), PETS, labelled=True)


def test_a_set_is_known_by_its_content_not_by_its_names(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    first = find(listing(tmp_path, "path,label\na.png,0\nb.png,1\n"), TWO, labelled=True).sha256
    relabelled = find(listing(tmp_path, "path,label\na.png,1\nb.png,1\n"), TWO, labelled=True).sha256
    (tmp_path / "a.png").rename(tmp_path / "z.png")
    renamed = find(listing(tmp_path, "path,label\nb.png,1\nz.png,0\n"), TWO, labelled=True).sha256
    assert first == renamed
    assert first != relabelled


def test_a_missing_file_has_no_hash_and_every_other_its_own(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    a, b, missing = find(listing(tmp_path, "path\na.png\nb.png\nmissing.png\n"), TWO, labelled=False).hashes()
    assert a is not None
    assert b is not None
    assert a != b
    assert missing is None


def test_take_is_a_sample_that_the_seed_decides_in_the_sets_order() -> None:
    images = find("demo:60", DEMO, labelled=True)
    taken = take(images, 10, seed=0)
    assert taken == take(images, 10, seed=0)
    assert taken != take(images, 10, seed=1)
    assert taken.images == tuple(image for image in images.images if image in taken.images)
    assert len(taken) == 10
    assert take(images, 100, seed=0) == images


def test_of_many_files_some_are_drawn_that_alone_are_read(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.png").touch()
    images = find(str(tmp_path), DEMO, labelled=False)
    drawn = at_most(images, 10, seed=0)
    assert drawn.images == tuple(image for image in images.images if image in drawn.images)
    assert len(drawn) == 10
    assert drawn != at_most(images, 10, seed=1)
    assert at_most(images, 30, seed=0) is images
    assert not any("sha256" in vars(image) for image in images.images)


def test_no_image_is_no_sample() -> None:
    with pytest.raises(UserError, match="at least 1"):
        take(find("demo:60", DEMO, labelled=True), 0, seed=0)


def test_split_parts_the_set_in_two() -> None:
    images = find("demo:60", DEMO, labelled=True)
    calibration, rest = split(images, 8, seed=0)
    assert len(calibration) == 8
    assert set(calibration.images) | set(rest.images) == set(images.images)
    check_disjoint(rest, calibration)
    assert (calibration, rest) == split(images, 8, seed=0)


def test_split_takes_a_fifth_at_most() -> None:
    calibration, rest = split(find("demo:60", DEMO, labelled=True), 1000, seed=0)
    assert (len(calibration), len(rest)) == (12, 48)


@pytest.mark.parametrize("seed", range(5))
def test_split_keeps_copies_on_one_side(tmp_path: Path, seed: int) -> None:
    images = named(tmp_path, {f"{index}.png": str(index // 3) for index in range(30)})
    calibration, rest = split(images, 6, seed)
    check_disjoint(rest, calibration)
    assert len(calibration) == 6


def test_split_leaves_missing_files_to_be_counted(tmp_path: Path) -> None:
    images = named(tmp_path, {f"{index}.png": str(index) for index in range(10)})
    (tmp_path / "3.png").unlink()
    for seed in range(10):
        assert "3.png" in labels(split(images, 2, seed)[1])


@pytest.mark.parametrize(("images", "count"), [(4, 2), (60, 0)])
def test_a_split_without_calibration_is_refused(images: int, count: int) -> None:
    with pytest.raises(UserError, match="none to calibrate with"):
        split(find(f"demo:{images}", DEMO, labelled=True), count, seed=0)


def test_a_calibration_image_that_is_scored_is_refused(tmp_path: Path) -> None:
    scored = named(tmp_path, {"a.png": "same", "b.png": "b"})
    calibration = named(tmp_path, {"c.png": "c", "d.png": "same"})
    with pytest.raises(UserError, match=r"1 of 2 calibration images are scored too \(first: d\.png\)"):
        check_disjoint(scored, calibration)


def test_labels_are_seen_where_a_manifest_or_folders_give_them(tmp_path: Path) -> None:
    put(tmp_path, "holidays/1.jpg", "work/1.jpg")
    assert not is_labelled("demo", PETS)
    assert not is_labelled(str(tmp_path), PETS), "two folders are not three classes"
    put(tmp_path, "ant/1.jpg")
    assert is_labelled(str(tmp_path), PETS), "as many folders as classes"
    assert is_labelled(str(tmp_path), PETS) == all(
        image.label is not None for image in find(str(tmp_path), PETS, labelled=True).images
    )
    put(tmp_path, "loose.jpg")
    assert not is_labelled(str(tmp_path), PETS)
    (tmp_path / "manifest.csv").write_text("path\nloose.jpg\n")
    assert not is_labelled(str(tmp_path), PETS)
    (tmp_path / "manifest.csv").write_text("path,label\nloose.jpg,1\n")
    assert is_labelled(str(tmp_path), PETS)
