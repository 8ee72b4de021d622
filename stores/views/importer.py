"""placeholder"""


def upload(request):
    raise NotImplementedError


def preview(request):
    raise NotImplementedError
